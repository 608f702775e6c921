#pragma once

#include <cstdint>

#include <ATen/ATen.h>

#include "core/model/config.h"
#include "core/model/prompts.h"

namespace hfwa::bench {

// Prompts of the right shape; what they say does not matter to the time.
inline model::PromptTokens AnyPrompts(const model::ModelConfig& config) {
  const model::PromptConfig& prompt = config.prompt;
  const auto ids = [&](size_t states) {
    at::Tensor tokens = at::zeros({static_cast<int64_t>(prompt.class_names.size()),
                                   static_cast<int64_t>(states), config.text->context_length},
                                  at::kLong);
    tokens.select(2, prompt.length + 2).fill_(config.text->vocab_size - 1);
    return tokens;
  };
  return {ids(prompt.states_normal.size()), ids(prompt.states_anomaly.size())};
}

}  // namespace hfwa::bench
