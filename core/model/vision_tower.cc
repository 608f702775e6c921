#include "core/model/vision_tower.h"

#include <algorithm>
#include <string>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace hfwa::model {

absl::StatusOr<std::unique_ptr<VisionTower>> VisionTower::Load(const ModelConfig& config,
                                                               const Weights& weights,
                                                               const kernels::Kernels& kernels) {
  std::unique_ptr<VisionTower> tower(new VisionTower(config, kernels));
  HFWA_RETURN_IF_ERROR(tower->LoadTensors(weights));
  return tower;
}

absl::Status VisionTower::LoadTensors(const Weights& weights) {
  const VisionConfig& vision = config_.vision;
  const int width = vision.width;
  HFWA_ASSIGN_OR_RETURN(
      const at::Tensor conv1,
      weights.Get("visual.conv1.weight", {width, 3, vision.patch_size, vision.patch_size}));
  conv1_ = kernels_.PackLinear({conv1.reshape({width, -1}), {}, /*sensitive=*/true});
  HFWA_ASSIGN_OR_RETURN(const at::Tensor class_embedding,
                        weights.Get("visual.class_embedding", {width}));
  class_embedding_ = class_embedding.to(kernels_.device()).view({1, 1, width});
  HFWA_ASSIGN_OR_RETURN(const at::Tensor positions,
                        weights.Get("visual.positional_embedding", {vision.patches() + 1, width}));
  positional_embedding_ = positions.to(kernels_.device());
  if (vision.pre_norm_layer) {
    HFWA_ASSIGN_OR_RETURN(
        ln_pre_, LoadNorm(weights, "visual.ln_pre", width, vision.layer_norm_eps, kernels_));
  }
  if (vision.projection) {
    HFWA_ASSIGN_OR_RETURN(const at::Tensor proj,
                          weights.Get("visual.proj", {width, config_.embed_dim}));
    proj_ = kernels_.PackLinear({proj.t(), {}, /*sensitive=*/true});
  }
  for (int level = 0; vision.level_projections && level < config_.levels(); ++level) {
    HFWA_ASSIGN_OR_RETURN(const kernels::LinearWeights projection,
                          LoadTokenProjection(config_, weights, level));
    level_projections_.push_back(kernels_.PackLinear(projection));
  }
  if (config_.has_language()) {
    HFWA_ASSIGN_OR_RETURN(
        ln_post_, LoadNorm(weights, "visual.ln_post", width, vision.layer_norm_eps, kernels_));
  }
  const auto activation =
      vision.quick_gelu ? kernels::Activation::kQuickGelu : kernels::Activation::kGelu;
  for (int b = 0; b < config_.vision_blocks(); ++b) {
    HFWA_ASSIGN_OR_RETURN(
        TransformerBlock block,
        TransformerBlock::Load(weights, absl::StrCat("visual.transformer.resblocks.", b, "."),
                               width, vision.heads, vision.layer_norm_eps, activation, kernels_));
    blocks_.push_back(std::move(block));
  }
  return absl::OkStatus();
}

at::Tensor VisionTower::EmbedPatches(const at::Tensor& images) const {
  const int64_t grid = config_.vision.grid(), side = config_.vision.patch_size;
  // A convolution whose stride is its kernel is a linear map over the pixels of each patch.
  const at::Tensor pixels = images.reshape({-1, 3, grid, side, grid, side})
                                .permute({0, 2, 4, 1, 3, 5})
                                .reshape({-1, grid * grid, 3 * side * side});
  return conv1_->Apply(pixels);
}

at::Tensor VisionTower::Embed(const at::Tensor& images, const Trace& trace) const {
  const at::Tensor patches = EmbedPatches(images);
  Emit(trace, "patch_embed", patches);
  at::Tensor x = at::empty({images.size(0), patches.size(1) + 1, patches.size(2)},
                           patches.options().dtype(at::kFloat));
  at::Tensor rest = x.slice(1, 1);
  x.slice(1, 0, 1).copy_(class_embedding_ + positional_embedding_.slice(0, 0, 1));
  at::add_out(rest, patches, positional_embedding_.slice(0, 1));
  if (config_.vision.pre_norm_layer) x = kernels_.LayerNorm(x, ln_pre_);
  Emit(trace, "ln_pre", x);
  return x;
}

at::Tensor VisionTower::Forward(const at::Tensor& images, bool want_image_feature,
                                const TapVisitor& visit, const Trace& trace) const {
  return Run(images, want_image_feature, config_.value_encoder, visit, trace);
}

at::Tensor VisionTower::ForwardValues(const at::Tensor& images, bool want_image_feature,
                                      const TapVisitor& visit, const Trace& trace) const {
  return Run(images, want_image_feature, /*from_values=*/true, visit, trace);
}

at::Tensor VisionTower::Run(const at::Tensor& images, bool want_image_feature, bool from_values,
                            const TapVisitor& visit, const Trace& trace) const {
  const std::vector<int>& taps = config_.taps;
  const auto [first_tap, last_tap] = std::minmax_element(taps.begin(), taps.end());
  const int last = want_image_feature ? config_.vision.layers - 1 : *last_tap;
  at::Tensor x = Embed(images, trace), values;
  at::Tensor normed = blocks_[0].ForAttention(x);
  for (int b = 0; b <= last; ++b) {
    if (from_values && b == *first_tap) values = x.clone();
    // The residual encoder changes what a tapped block gives.
    const bool changes = config_.residual_encoder && !from_values &&
                         std::find(taps.begin(), taps.end(), b) != taps.end();
    const TransformerBlock* next = b < last && !changes ? &blocks_[b + 1] : nullptr;
    const bool add_values = values.defined() && b <= *last_tap;
    normed =
        blocks_[b].ApplyNormed(x, normed, /*causal=*/false, next, add_values ? &values : nullptr);
    for (int level = 0; level < config_.levels(); ++level) {
      if (taps[level] != b) continue;
      at::Tensor tap = from_values ? kernels_.LayerNorm(values, ln_post_) : x;
      visit(level, tap);
      if (!from_values) x = tap;  // training's visitor puts another tensor there
    }
    if (b < last && changes) normed = blocks_[b + 1].ForAttention(x);
  }
  if (!want_image_feature) return {};
  at::Tensor feature = ImageFeature(x.select(1, 0));
  Emit(trace, "image_feature", feature);
  return feature;
}

at::Tensor VisionTower::ApplyBlocks(at::Tensor x, int blocks) const {
  at::Tensor normed = blocks_[0].ForAttention(x);
  for (int b = 0; b < blocks; ++b) {
    const TransformerBlock* next = b + 1 < blocks ? &blocks_[b + 1] : nullptr;
    normed = blocks_[b].ApplyNormed(x, normed, /*causal=*/false, next);
  }
  return x;
}

at::Tensor VisionTower::ImageFeature(const at::Tensor& class_tokens) const {
  return proj_->Apply(kernels_.LayerNorm(class_tokens, ln_post_)).to(at::kFloat);
}

const kernels::Linear* VisionTower::ProjectionOf(int level) const {
  return level_projections_.empty() ? proj_.get() : level_projections_[level].get();
}

at::Tensor VisionTower::Project(int level, const kernels::Tokens& x) const {
  const kernels::Linear* projection = ProjectionOf(level);
  return projection == nullptr ? x.value : projection->Apply(x.for_linear);
}

}  // namespace hfwa::model
