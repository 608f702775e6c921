#include "lab/eval/prompt_ensemble.h"

#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/model/prompts.h"
#include "core/model/text_features.h"
#include "lab/eval/clip_views.h"
#include "lab/train/prompt_sets.h"

namespace hfwa::lab {

absl::StatusOr<std::unique_ptr<PromptEnsemble>> PromptEnsemble::Create(
    const model::ModelConfig& config, const model::Weights& weights, const std::string& merges,
    const std::string& method) {
  HFWA_RETURN_IF_ERROR(NeedsLanguage(config, method));
  std::unique_ptr<PromptEnsemble> ensemble(new PromptEnsemble());
  ensemble->config_ = config;
  ensemble->config_.text_linear = false;  // learnt
  model::PromptConfig& prompt = ensemble->config_.prompt;
  prompt.type = model::PromptConfig::Type::kFixed;
  prompt.states_normal = train::FixedStatesNormal();
  prompt.states_anomaly = train::FixedStatesAnomaly();
  prompt.templates = train::FixedTemplates();
  for (const auto& [name, tensor] : weights.tensors()) {
    if (!absl::StartsWith(ToAbsl(name), "visual")) ensemble->weights_.Set(name, tensor);
  }
  ensemble->merges_ = merges;
  return ensemble;
}

absl::StatusOr<at::Tensor> PromptEnsemble::Pair(const std::string& class_name) const {
  const at::NoGradGuard no_grad;
  const absl::MutexLock lock(&mu_);
  const auto found = pairs_.find(class_name);
  if (found != pairs_.end()) return found->second;
  model::ModelConfig config = config_;
  config.prompt.class_names = {train::ClassWords(class_name)};
  const auto tokens = model::TokenizePrompts(config, merges_);
  if (!tokens.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the prompts' ensemble: ", tokens.status().message()));
  }
  HFWA_ASSIGN_OR_RETURN(const at::Tensor pairs,
                        model::ComputeTextFeatures(config, weights_, *tokens, {}));
  pairs_[class_name] = pairs[0];
  return pairs[0];
}

}  // namespace hfwa::lab
