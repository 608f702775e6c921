#include "core/model/text_tower.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace hfwa::model {
namespace {

constexpr double kNormEps = 1e-5;
// Prompts encoded at once; large prompt sets have thousands.
constexpr int64_t kPromptBlock = 32;

}  // namespace

absl::StatusOr<std::unique_ptr<TextTower>> TextTower::Load(
    const ModelConfig& config, const Weights& weights,
    std::shared_ptr<const kernels::Kernels> given) {
  const TextConfig& text = *config.text;
  std::unique_ptr<TextTower> tower(new TextTower());
  tower->kernels_ = std::move(given);
  if (tower->kernels_ == nullptr) tower->kernels_ = kernels::MakeAtenKernels(at::kCPU, at::kFloat);
  const kernels::Kernels& kernels = *tower->kernels_;
  HFWA_ASSIGN_OR_RETURN(const at::Tensor positions,
                        weights.Get("positional_embedding", {text.context_length, text.width}));
  tower->positional_embedding_ = positions.to(kernels.device());
  // Both towers of a CLIP share the activation.
  const auto activation =
      config.vision.quick_gelu ? kernels::Activation::kQuickGelu : kernels::Activation::kGelu;
  for (int b = 0; b < text.layers; ++b) {
    HFWA_ASSIGN_OR_RETURN(
        TransformerBlock block,
        TransformerBlock::Load(weights, absl::StrCat("transformer.resblocks.", b, "."), text.width,
                               text.heads, kNormEps, activation, kernels));
    tower->blocks_.push_back(std::move(block));
  }
  HFWA_ASSIGN_OR_RETURN(tower->ln_final_,
                        LoadNorm(weights, "ln_final", text.width, kNormEps, kernels));
  HFWA_ASSIGN_OR_RETURN(const at::Tensor projection,
                        weights.Get("text_projection", {text.width, config.embed_dim}));
  tower->projection_ = kernels.PackLinear({projection.t(), {}});
  return tower;
}

at::Tensor TextTower::Encode(const at::Tensor& prompts, const at::Tensor& end_of_text) const {
  std::vector<at::Tensor> features;
  for (int64_t start = 0; start < prompts.size(0); start += kPromptBlock) {
    const int64_t end = std::min(start + kPromptBlock, prompts.size(0));
    features.push_back(EncodeBlock(prompts.slice(0, start, end), end_of_text.slice(0, start, end)));
  }
  return at::cat(features);
}

at::Tensor TextTower::EncodeBlock(const at::Tensor& prompts, const at::Tensor& end_of_text) const {
  // The causal mask hides what follows the end of text, so nothing of it is computed.
  const int64_t length = end_of_text.max().item<int64_t>() + 1;
  at::Tensor x = prompts.slice(1, 0, length) + positional_embedding_.slice(0, 0, length);
  for (const TransformerBlock& block : blocks_) block.Apply(x, /*causal=*/true);
  const at::Tensor rows = at::arange(x.size(0), end_of_text.options());
  const at::Tensor last = x.index({rows, end_of_text});
  return projection_->Apply(kernels_->LayerNorm(last, ln_final_)).to(at::kFloat);
}

}  // namespace hfwa::model
