#include "core/model/text_features.h"

#include <memory>
#include <vector>

#include <ATen/ATen.h>

#include "core/base/status_macros.h"
#include "core/model/layers.h"

namespace hfwa::model {
namespace {

// Rows of one side, [M * K, E] -> [M, K, E].
at::Tensor Side(const ModelConfig& config, const PromptTokens& tokens, const at::Tensor& rows,
                bool anomaly) {
  const int64_t classes = static_cast<int64_t>(config.prompt.class_names.size());
  const int64_t normal_rows = classes * tokens.normal.size(1);
  const at::Tensor side = anomaly ? rows.slice(0, normal_rows) : rows.slice(0, 0, normal_rows);
  return side.reshape({classes, -1, rows.size(1)});
}

// Fixed prompts: the mean of unit vectors, scaled to length one. No epsilon (spec 5.4). [M, K, E]
// -> [M, E].
at::Tensor EnsembleMean(const at::Tensor& side) {
  const at::Tensor mean = (side / side.norm(2, {-1}, /*keepdim=*/true)).mean(1);
  return mean / mean.norm(2, {-1}, /*keepdim=*/true);
}

}  // namespace

absl::StatusOr<at::Tensor> ComputeTextFeatures(const ModelConfig& config, const Weights& weights,
                                               const PromptTokens& tokens, const Trace& trace) {
  HFWA_ASSIGN_OR_RETURN(const std::unique_ptr<TextTower> tower, TextTower::Load(config, weights));
  HFWA_ASSIGN_OR_RETURN(const at::Tensor rows,
                        EncodePrompts(config, weights, tokens, *tower, trace));
  return PoolPrompts(config, weights, tokens, rows, trace);
}

absl::StatusOr<at::Tensor> EncodePrompts(const ModelConfig& config, const Weights& weights,
                                         const PromptTokens& tokens, const TextTower& tower,
                                         const Trace& trace) {
  HFWA_ASSIGN_OR_RETURN(const EmbeddedPrompts prompts, EmbedPrompts(config, weights, tokens));
  Emit(trace, "prompts", prompts.embeddings);
  Emit(trace, "eot_index", prompts.end_of_text);
  at::Tensor rows = tower.Encode(prompts.embeddings, prompts.end_of_text);

  if (config.prompt.type == PromptConfig::Type::kFixed) {
    rows = at::cat({EnsembleMean(Side(config, tokens, rows, false)),
                    EnsembleMean(Side(config, tokens, rows, true))});
  }
  Emit(trace, "text_features", rows);
  return rows;
}

absl::StatusOr<at::Tensor> PoolPrompts(const ModelConfig& config, const Weights& weights,
                                       const PromptTokens& tokens, const at::Tensor& encoded,
                                       const Trace& trace) {
  at::Tensor rows = encoded;
  if (config.text_linear) {
    HFWA_ASSIGN_OR_RETURN(const kernels::LinearWeights linear,
                          LoadLinear(weights, "cross_fusion.linear", config.embed_dim,
                                     config.embed_dim, /*bias=*/true));
    rows = at::linear(rows, linear.weight, linear.bias);
  }
  const bool fixed = config.prompt.type == PromptConfig::Type::kFixed;
  const std::vector<at::Tensor> sides =
      fixed ? rows.chunk(2)
            : std::vector<at::Tensor>{Side(config, tokens, rows, false).mean(1),
                                      Side(config, tokens, rows, true).mean(1)};
  const at::Tensor pooled = at::stack(sides, 1);
  Emit(trace, "text_pooled", pooled);
  return pooled;
}

}  // namespace hfwa::model
