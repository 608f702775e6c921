#pragma once

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/model/config.h"
#include "core/model/prompts.h"
#include "core/model/text_tower.h"
#include "core/model/trace.h"
#include "core/model/weights.h"

namespace hfwa::model {

// The text pair of each class, normal first (spec 5.1, 5.3, 5.4, 6.1): encoded, linearly mapped,
// averaged over each side's states, not normalised. [M, 2, E] fp32 on the CPU.
absl::StatusOr<at::Tensor> ComputeTextFeatures(const ModelConfig& config, const Weights& weights,
                                               const PromptTokens& tokens, const Trace& trace);

// Its two halves, on the device of `weights` and of the tower's kernels, and differentiable where
// those are. What the tower gives, all normal rows, then all anomaly rows: one for each prompt, or
// with fixed prompts, where nothing in it is learnt, one for each class.
absl::StatusOr<at::Tensor> EncodePrompts(const ModelConfig& config, const Weights& weights,
                                         const PromptTokens& tokens, const TextTower& tower,
                                         const Trace& trace);
// [M, 2, E] from them.
absl::StatusOr<at::Tensor> PoolPrompts(const ModelConfig& config, const Weights& weights,
                                       const PromptTokens& tokens, const at::Tensor& rows,
                                       const Trace& trace);

}  // namespace hfwa::model
