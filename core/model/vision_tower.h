#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/kernels/kernels.h"
#include "core/model/config.h"
#include "core/model/layers.h"
#include "core/model/trace.h"

namespace hfwa::model {

// The frozen vision transformer with its taps (spec 3). Immutable.
class VisionTower {
 public:
  // `kernels` must outlive the tower.
  static absl::StatusOr<std::unique_ptr<VisionTower>> Load(const ModelConfig& config,
                                                           const Weights& weights,
                                                           const kernels::Kernels& kernels);

  // Called after block taps[level] with its output x [B, L+1, W] (row 0 is the class token), fp32.
  // It may write into x, as the residual encoder does; x is overwritten after it returns.
  using TapVisitor = std::function<void(int level, at::Tensor& x)>;

  // images [B, 3, S, S], fp32 on the device. Returns the image feature [B, E] if
  // `want_image_feature`, else stops after the last tapped block and returns an undefined tensor.
  // Where the configuration has the value encoder, this is ForwardValues.
  at::Tensor Forward(const at::Tensor& images, bool want_image_feature, const TapVisitor& visit,
                     const Trace& trace) const;

  // The same with the taps read from a second stream (AnomalyCLIP, arXiv 2310.18961, section 3.3;
  // the paths of CLIP Surgery, arXiv 2304.05653): it starts as a copy of the tokens before the
  // lowest tapped block, and from there on each block adds out_proj(softmax(v vᵀ / √d) v) to it, v
  // being the block's own, of the first stream: no mlp, and nothing flows back. The visitor sees
  // ln_post of it and changes nothing by writing there. Needs a language side, which ln_post
  // belongs to.
  at::Tensor ForwardValues(const at::Tensor& images, bool want_image_feature,
                           const TapVisitor& visit, const Trace& trace) const;

  // Parts of Forward, for methods that show the tower a choice of an image's tokens.
  // What the first block takes, class token first: [B, 3, S, S] -> [B, L+1, W].
  at::Tensor Embed(const at::Tensor& images, const Trace& trace) const;
  // x [B, T, W] through the first `blocks` blocks; x is overwritten.
  at::Tensor ApplyBlocks(at::Tensor x, int blocks) const;
  // Image features of class tokens [B, W]: ln_post, then the projection. [B, E] fp32.
  at::Tensor ImageFeature(const at::Tensor& class_tokens) const;

  // Patch tokens of a level, adapted or not, in the space they are compared in: x @ visual.proj,
  // the level's own affine map of x, or x itself where the tower has neither; in the compute type.
  // [B, L, W] -> [B, L, E].
  at::Tensor Project(int level, const kernels::Tokens& x) const;

  // Output projection of a block's attention.
  const std::shared_ptr<const kernels::Linear>& out_proj(int block) const {
    return blocks_[block].out_proj();
  }

 private:
  VisionTower(const ModelConfig& config, const kernels::Kernels& kernels)
      : config_(config), kernels_(kernels) {}
  absl::Status LoadTensors(const Weights& weights);
  at::Tensor EmbedPatches(const at::Tensor& images) const;  // [B, L, W]
  at::Tensor Run(const at::Tensor& images, bool want_image_feature, bool from_values,
                 const TapVisitor& visit, const Trace& trace) const;
  const kernels::Linear* ProjectionOf(int level) const;  // null: tokens are used as they are

  const ModelConfig config_;
  const kernels::Kernels& kernels_;
  std::unique_ptr<kernels::Linear> conv1_;
  at::Tensor class_embedding_;       // [1, 1, W]
  at::Tensor positional_embedding_;  // [L+1, W]
  kernels::Norm ln_pre_;
  kernels::Norm ln_post_;
  std::vector<TransformerBlock> blocks_;
  std::unique_ptr<kernels::Linear> proj_;
  std::vector<std::unique_ptr<kernels::Linear>> level_projections_;
};

}  // namespace hfwa::model
