#pragma once

#include <memory>

#include <ATen/core/Tensor.h>

#include "core/kernels/kernels.h"

namespace hfwa::kernels {

// Linear on ATen. On the CPU in fp32 and bf16 the weight is reordered once for oneDNN, which saves
// the reordering of every call and can fuse an activation; elsewhere this is at::linear.
class PackedLinear final : public Linear {
 public:
  // oneDNN has no QuickGELU, but x·sigmoid(x), which a caller can turn into it by scaling the
  // weights.
  enum class Fused { kNone, kGelu, kRelu, kSwish };

  PackedLinear(const LinearWeights& weights, at::Device device, at::ScalarType type,
               bool allow_packing = true);

  at::Tensor Apply(const at::Tensor& x) const override { return Apply(x, Fused::kNone); }
  at::Tensor Apply(const at::Tensor& x, Fused fused) const;
  bool packed() const { return packed_; }

 private:
  at::Device device_;
  at::ScalarType type_;
  bool packed_ = false;
  at::Tensor weight_;  // [out, in]; opaque if packed
  at::Tensor bias_;
};

}  // namespace hfwa::kernels
