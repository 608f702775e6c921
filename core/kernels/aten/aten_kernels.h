#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/kernels.h"

namespace hfwa::kernels {

// Everything by LibTorch's operators. Others derive from it and do better where they can.
class AtenKernels : public Kernels {
 public:
  AtenKernels(at::Device device, at::ScalarType type) : device_(device), type_(type) {}

  at::Device device() const override { return device_; }
  at::ScalarType compute_type() const override { return type_; }
  std::unique_ptr<Linear> PackLinear(const LinearWeights& weights) const override;
  std::unique_ptr<Mlp> PackMlp(const std::vector<LinearWeights>& layers,
                               Activation activation) const override;
  at::Tensor LayerNorm(const at::Tensor& x, const Norm& norm) const override;
  at::Tensor LayerNormForLinear(const at::Tensor& x, const Norm& norm) const override;
  at::Tensor Attention(const at::Tensor& qkv, int heads, bool causal) const override;
  at::Tensor AttendWindows(const at::Tensor& x, const WindowAttention& attention) const override;
  std::unique_ptr<Rows> MakeRows(int64_t count, int64_t width) const override;

 private:
  const at::Device device_;
  const at::ScalarType type_;
};

}  // namespace hfwa::kernels
