#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lab/eval/clip_views.h"
#include "lab/eval/method.h"
#include "lab/eval/prompt_ensemble.h"

namespace hfwa::lab {

// WinCLIP and, with references, WinCLIP+ (arXiv 2303.14814, sections 4 and 5): windows of patches
// compared with an ensemble of prompts and with the references' windows and patches. The tower and
// the text are CLIP's, whatever the model learnt. Scoring: "paper".
class WinclipMethod final : public Method {
 public:
  // FAILED_PRECONDITION where the model has no language side or less than 3x3 patches.
  static absl::StatusOr<std::unique_ptr<Method>> Create(const LoadedModel& model);

  std::string name() const override { return "winclip"; }
  std::vector<const View*> views() const override { return {&windows_, &patches_}; }
  bool needs_model_pass() const override { return false; }
  absl::StatusOr<std::unique_ptr<Detector>> Fit(const References& references) const override;

 private:
  WinclipMethod(const model::Hfwa& hfwa, std::unique_ptr<PromptEnsemble> ensemble)
      : config_(hfwa.config()), windows_(hfwa), patches_(hfwa), ensemble_(std::move(ensemble)) {}

  const model::ModelConfig& config_;
  const WindowsView windows_;
  const PenultimateTokensView patches_;
  const std::unique_ptr<const PromptEnsemble> ensemble_;
};

}  // namespace hfwa::lab
