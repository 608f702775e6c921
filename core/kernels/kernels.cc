#include "core/kernels/kernels.h"

#include <ATen/ATen.h>

#include "core/kernels/cpu/cpu_kernels.h"

namespace hfwa::kernels {

void Linear::AddTo(at::Tensor& sum, const at::Tensor& x) const { sum.add_(Apply(x)); }
void Mlp::AddTo(at::Tensor& sum, const at::Tensor& x) const { sum.add_(Apply(x)); }

std::unique_ptr<Kernels> MakeKernels(at::Device device, at::ScalarType type) {
  if (device.is_cpu() && type == at::kBFloat16) {
    if (auto kernels = MakeAvx512Bf16Kernels(FasterProducts())) return kernels;
  }
  return MakeAtenKernels(device, type);
}

}  // namespace hfwa::kernels
