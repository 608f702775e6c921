#include "core/kernels/kernels.h"

#include <ATen/ATen.h>

#include "core/kernels/cpu/cpu_kernels.h"
#include "core/kernels/cuda/cuda_kernels.h"

namespace hfwa::kernels {

void Linear::AddTo(at::Tensor& sum, const at::Tensor& x) const { sum.add_(Apply(x)); }
void Mlp::AddTo(at::Tensor& sum, const at::Tensor& x) const { sum.add_(Apply(x)); }

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
