#include "core/kernels/kernels.h"

#include <ATen/ATen.h>

#include "core/kernels/cpu/cpu_kernels.h"
#include "core/kernels/cuda/cuda_kernels.h"
#include "core/kernels/windows.h"

namespace hfwa::kernels {
namespace {

constexpr double kCosineEpsilon = 1e-12;

at::Tensor Lengths(const at::Tensor& x) {
  return x.norm(2, {-1}, /*keepdim=*/true).clamp_min(kCosineEpsilon);
}

}  // namespace

void Linear::AddTo(at::Tensor& sum, const at::Tensor& x) const { sum.add_(Apply(x)); }
void Mlp::AddTo(at::Tensor& sum, const at::Tensor& x) const { sum.add_(Apply(x)); }

at::Tensor Kernels::AddThenNorm(const Linear& map, at::Tensor& sum, const at::Tensor& x,
                                const Norm& norm) const {
  map.AddTo(sum, x);
  return LayerNormForLinear(sum, norm);
}

at::Tensor Kernels::AddThenNorm(const Mlp& map, at::Tensor& sum, const at::Tensor& x,
                                const Norm& norm) const {
  map.AddTo(sum, x);
  return LayerNormForLinear(sum, norm);
}

Tokens Kernels::TokensOf(const at::Tensor& x) const { return {x, x}; }

Tokens Kernels::AddNormed(const at::Tensor& x, const at::Tensor& branch, const Norm& norm) const {
  const at::Tensor sum = x + LayerNorm(branch, norm);
  return {sum, sum};
}

void Kernels::ToUnitLength(const at::Tensor& x, at::Tensor& unit) const {
  const at::Tensor exact = x.to(at::kFloat);
  at::div_out(unit, exact, Lengths(exact));
}

at::Tensor Kernels::Cosines(const at::Tensor& x, const at::Tensor& pairs) const {
  const at::Tensor exact = x.to(at::kFloat);
  return at::matmul(pairs, (exact / Lengths(exact)).transpose(1, 2));
}

at::Tensor Kernels::AttendInWindows(const at::Tensor& x, const WindowAttention& a) const {
  return MergeWindows(AttendWindows(x, a), a.grid, a.window, a.shift);
}

std::unique_ptr<Kernels> MakeKernels(at::Device device, at::ScalarType type) {
  if (device.is_cpu()) {
    if (auto kernels = MakeAvx512Kernels(type, FasterProducts(type))) return kernels;
  }
  if (device.is_cuda() && type != at::kFloat) return MakeGpuKernels(device, type);
  return MakeAtenKernels(device, type);
}

std::unique_ptr<Kernels> MakeInt8Kernels(at::Device device) {
  if (!device.is_cpu()) return nullptr;
  if (auto kernels = MakeAvx512Kernels(at::kBFloat16, Products::kInt8)) return kernels;
  return MakeAvx512Kernels(at::kFloat, Products::kInt8);
}

}  // namespace hfwa::kernels
