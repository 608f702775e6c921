#pragma once

// Tensors by name, checked and handed to the kernels.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/kernels/kernels.h"
#include "core/model/weights.h"

namespace hfwa::model {

// NAME.weight [out, in] and, if asked for, NAME.bias [out].
absl::StatusOr<kernels::LinearWeights> LoadLinear(const Weights& weights, const std::string& name,
                                                  int out, int in, bool bias);

// What a level's patch tokens are multiplied by to be compared (VisionTower::Project):
// visual.level_projections.LEVEL [E, W] with its bias, or visual.proj, transposed. The
// configuration has one of them.
absl::StatusOr<kernels::LinearWeights> LoadTokenProjection(const ModelConfig& config,
                                                           const Weights& weights, int level);

// NAME.weight and NAME.bias, both [width], on the kernels' device.
absl::StatusOr<kernels::Norm> LoadNorm(const Weights& weights, const std::string& name, int width,
                                       double eps, const kernels::Kernels& kernels);

// One pre-norm block of a CLIP tower (spec 3.4): attention, then mlp of hidden size 4W, each on a
// residual branch. Immutable.
class TransformerBlock {
 public:
  // `prefix` is the block's, with its dot: "transformer.resblocks.0.".
  static absl::StatusOr<TransformerBlock> Load(const Weights& weights, const std::string& prefix,
                                               int width, int heads, double eps,
                                               kernels::Activation activation,
                                               const kernels::Kernels& kernels);

  // Adds both branches to x [B, T, W], fp32, in place.
  void Apply(at::Tensor& x, bool causal) const { ApplyNormed(x, ForAttention(x), causal, nullptr); }

  // What the attention takes of x.
  at::Tensor ForAttention(const at::Tensor& x) const {
    return kernels_->LayerNormForLinear(x, ln_1_);
  }
  // Apply with `normed` = ForAttention(x); returns the same of block `next`, if there is one: sum
  // and norm go together.
  // `values` [B, T, W], fp32, where given: a second stream, onto which the block puts
  // out_proj(softmax(v vᵀ / √d) v) of the same v, without its mlp.
  at::Tensor ApplyNormed(at::Tensor& x, const at::Tensor& normed, bool causal,
                         const TransformerBlock* next, at::Tensor* values = nullptr) const;

  // The adapters of a tapped block project through it too.
  const std::shared_ptr<const kernels::Linear>& out_proj() const { return out_proj_; }

 private:
  TransformerBlock() = default;

  const kernels::Kernels* kernels_ = nullptr;
  int heads_ = 0;
  kernels::Norm ln_1_;
  kernels::Norm ln_2_;
  std::shared_ptr<const kernels::Linear> in_proj_;
  std::shared_ptr<const kernels::Linear> out_proj_;
  std::shared_ptr<const kernels::Mlp> mlp_;
};

}  // namespace hfwa::model
