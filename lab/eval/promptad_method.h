#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lab/eval/clip_views.h"
#include "lab/eval/method.h"
#include "lab/train/promptad.h"

namespace hfwa::lab {

// PromptAD (arXiv 2404.05231; lab/train/promptad.h). Fit learns two sets of prompts from the
// references alone: on their image features (3 normal prompts), and on their v-v tokens of the
// deepest level (1). Then, with w of those prompts:
//
//   language map  anomaly of each v-v token
//   vision map    (1 - largest cosine with the references' tokens) / 2, mean of two middle levels
//   map           their harmonic mean, upsampled and filtered
//   image score   harmonic mean of the anomaly of the image feature and the vision map's largest
class PromptadMethod final : public Method {
 public:
  // FAILED_PRECONDITION where the model has no language side.
  static absl::StatusOr<std::unique_ptr<Method>> Create(const LoadedModel& model);
  std::string name() const override { return "promptad"; }
  std::vector<const View*> views() const override { return {&view_}; }
  absl::StatusOr<std::unique_ptr<Detector>> Fit(const References& references) const override;

 private:
  PromptadMethod(const model::Hfwa& hfwa, std::unique_ptr<train::PromptadText> text)
      : config_(hfwa.config()), view_(hfwa), text_(std::move(text)) {}

  const model::ModelConfig& config_;
  const ValueTokensView view_;
  const std::unique_ptr<train::PromptadText> text_;
};

}  // namespace hfwa::lab
