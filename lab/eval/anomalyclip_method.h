#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lab/eval/clip_views.h"
#include "lab/eval/method.h"

namespace hfwa::lab {

// AnomalyCLIP (arXiv 2310.18961): the model's learnt prompts against CLIP's image feature and
// against its tokens by v-v attention, without adapters, scored as published. A model that was
// trained so (docs/training.md) is scored by what it computes; of any other, this takes the text
// pair alone. Zero-shot. Scoring: "paper".
class AnomalyClipMethod final : public Method {
 public:
  // FAILED_PRECONDITION where the model has no language side or no learnt prompts.
  static absl::StatusOr<std::unique_ptr<Method>> Create(const LoadedModel& model);

  std::string name() const override { return "anomalyclip"; }
  std::vector<const View*> views() const override { return {&tokens_}; }
  bool needs_model_pass() const override { return false; }
  // FAILED_PRECONDITION with references: it has no use for them.
  absl::StatusOr<std::unique_ptr<Detector>> Fit(const References& references) const override;

 private:
  explicit AnomalyClipMethod(const model::Hfwa& hfwa) : hfwa_(hfwa), tokens_(hfwa) {}

  const model::Hfwa& hfwa_;
  const ValueTokensView tokens_;
};

}  // namespace hfwa::lab
