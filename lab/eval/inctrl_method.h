#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lab/eval/clip_views.h"
#include "lab/eval/method.h"
#include "lab/eval/prompt_ensemble.h"
#include "lab/train/inctrl.h"

namespace hfwa::lab {

// InCTRL (lab/train/inctrl.h) with the networks that `hfwa-train --method inctrl` learnt on an
// auxiliary set. The map is the residual map, levels averaged.
class InctrlMethod final : public Method {
 public:
  // FAILED_PRECONDITION where the model has no language side, or its directory no networks of this
  // backbone.
  static absl::StatusOr<std::unique_ptr<Method>> Create(const LoadedModel& model);
  std::string name() const override { return "inctrl"; }
  std::vector<const View*> views() const override { return {&view_}; }
  bool needs_model_pass() const override { return false; }
  absl::StatusOr<std::unique_ptr<Detector>> Fit(const References& references) const override;

 private:
  InctrlMethod(const model::Hfwa& hfwa, std::unique_ptr<PromptEnsemble> prompts,
               std::shared_ptr<const train::Inctrl> inctrl);

  const model::ModelConfig& config_;
  const TowerTokensView view_;
  const std::unique_ptr<PromptEnsemble> prompts_;
  const std::shared_ptr<const train::Inctrl> inctrl_;
};

}  // namespace hfwa::lab
