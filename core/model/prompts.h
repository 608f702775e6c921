#pragma once

// Prompt strings, their ids and their embeddings (spec 5.2, 5.4).

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model/config.h"
#include "core/model/weights.h"

namespace hfwa::model {

// Ids of both sides' prompts, int64: normal [M, Kn, C] and anomaly [M, Ka, C] for M classes and
// context length C. Fixed prompts list state-major, template-minor along the second dimension.
struct PromptTokens {
  at::Tensor normal;
  at::Tensor anomaly;
};

// One side's strings per class, in the order of PromptTokens. Learnt prompts have "X" in the places
// of the contexts and always get a full stop.
std::vector<std::vector<std::string>> PromptTexts(const PromptConfig& prompt,
                                                  const std::vector<std::string>& states);

// Tokenises with the model's merges. INVALID_ARGUMENT names the prompt that is too long.
absl::StatusOr<PromptTokens> TokenizePrompts(const ModelConfig& config, std::string_view merges);

// INVALID_ARGUMENT unless the ids have the shape that the configuration asks for and lie in the
// vocabulary.
absl::Status CheckPromptTokens(const ModelConfig& config, const PromptTokens& tokens);

struct EmbeddedPrompts {
  at::Tensor embeddings;   // [R, C, D], without positions; all normal rows, then all anomaly rows,
                           // class-major
  at::Tensor end_of_text;  // [R] int64
};

// Embeds checked ids; learnt contexts take the place of ids 1..P.
absl::StatusOr<EmbeddedPrompts> EmbedPrompts(const ModelConfig& config, const Weights& weights,
                                             const PromptTokens& tokens);

}  // namespace hfwa::model
