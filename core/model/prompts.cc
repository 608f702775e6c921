#include "core/model/prompts.h"

#include <utility>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/base/status_macros.h"

namespace hfwa::model {
namespace {

std::string Format(const std::string& pattern, const std::string& value) {
  return absl::StrReplaceAll(pattern, {{"{}", value}});
}

absl::Status CheckSide(const ModelConfig& config, const at::Tensor& ids, size_t states,
                       const std::string& name) {
  const bool fixed = config.prompt.type == PromptConfig::Type::kFixed;
  const int64_t classes = static_cast<int64_t>(config.prompt.class_names.size());
  const int64_t count = static_cast<int64_t>(states * (fixed ? config.prompt.templates.size() : 1));
  const std::vector<int64_t> shape = {classes, count, config.text->context_length};
  if (!ids.defined() || ids.scalar_type() != at::kLong || ids.sizes() != at::IntArrayRef(shape) ||
      ids.numel() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(name, " prompt ids are not [", shape[0], ", ",
                                                   shape[1], ", ", shape[2], "] int64"));
  }
  if (ids.min().item<int64_t>() < 0 || ids.max().item<int64_t>() >= config.text->vocab_size) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " prompt ids lie outside the vocabulary of ", config.text->vocab_size));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<std::vector<std::string>> PromptTexts(const PromptConfig& prompt,
                                                  const std::vector<std::string>& states) {
  std::string contexts;
  for (int i = 0; i < prompt.length; ++i) contexts += "X ";
  std::vector<std::vector<std::string>> texts;
  for (const std::string& name : prompt.class_names) {
    std::vector<std::string>& of_class = texts.emplace_back();
    for (const std::string& state : states) {
      const std::string described = Format(state, name);
      if (prompt.type == PromptConfig::Type::kLearned) {
        of_class.push_back(absl::StrCat(contexts, described, "."));
        continue;
      }
      for (const std::string& pattern : prompt.templates)
        of_class.push_back(Format(pattern, described));
    }
  }
  return texts;
}

absl::Status CheckPromptTokens(const ModelConfig& config, const PromptTokens& tokens) {
  HFWA_RETURN_IF_ERROR(
      CheckSide(config, tokens.normal, config.prompt.states_normal.size(), "normal"));
  return CheckSide(config, tokens.anomaly, config.prompt.states_anomaly.size(), "anomaly");
}

absl::StatusOr<EmbeddedPrompts> EmbedPrompts(const ModelConfig& config, const Weights& weights,
                                             const PromptTokens& tokens) {
  const TextConfig& text = *config.text;
  const int64_t classes = static_cast<int64_t>(config.prompt.class_names.size()),
                length = config.prompt.length;
  HFWA_ASSIGN_OR_RETURN(const at::Tensor table,
                        weights.Get("token_embedding.weight", {text.vocab_size, text.width}));
  std::vector<at::Tensor> embedded, ends;
  for (const bool anomaly : {false, true}) {
    const at::Tensor ids = (anomaly ? tokens.anomaly : tokens.normal).to(table.device());
    const int64_t states = ids.size(1);
    at::Tensor side = at::embedding(table, ids);  // [M, K, C, D]
    if (config.prompt.type == PromptConfig::Type::kLearned) {
      HFWA_ASSIGN_OR_RETURN(
          const at::Tensor contexts,
          weights.Get(anomaly ? "prompt_learner.ctx_neg" : "prompt_learner.ctx_pos",
                      {classes, states, length, static_cast<int64_t>(text.width)}));
      side.slice(2, 1, 1 + length).copy_(contexts);
    }
    embedded.push_back(side.view({-1, text.context_length, text.width}));
    ends.push_back(ids.view({-1, text.context_length}).argmax(1));  // first maximum
  }
  return EmbeddedPrompts{at::cat(embedded), at::cat(ends)};
}

}  // namespace hfwa::model
