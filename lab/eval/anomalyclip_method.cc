#include "lab/eval/anomalyclip_method.h"

#include <utility>

#include <ATen/ATen.h>

#include "core/base/status_macros.h"
#include "lab/eval/patch_features.h"

namespace hfwa::lab {
namespace {

class AnomalyClipDetector final : public OwnScoreDetector {
 public:
  AnomalyClipDetector(const model::ModelConfig& config, at::Tensor pair)
      : config_(config), pair_(std::move(pair)) {}

  absl::StatusOr<Judgement> Judge(const Features& image, bool with_levels) const override {
    const at::Tensor& view = image.views.at(ValueTokensView::kName);
    const at::Tensor feature = ImageFeatureOf(view);
    const at::Tensor defect = Defect(TokensOf(view, config_.levels()));  // [n, L]
    // The sum of the levels' maps: upsampling and the Gaussian are linear.
    Judgement judgement = JudgementOf(PatchMap(config_, defect.sum(0)),
                                      Defect(feature / feature.norm()).item<float>());
    if (with_levels) {
      std::vector<at::Tensor> maps;
      for (const at::Tensor& level : defect.unbind(0)) maps.push_back(PatchMap(config_, level));
      judgement.levels = at::stack(maps);
    }
    return judgement;
  }

 private:
  // Probability of a defect by unit features: [..., E] -> [...].
  at::Tensor Defect(const at::Tensor& features) const {
    return at::softmax(at::matmul(features, pair_.t()) / config_.temperature, -1).select(-1, 1);
  }

  const model::ModelConfig& config_;
  const at::Tensor pair_;  // [2, E], rows of length one
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> AnomalyClipMethod::Create(const LoadedModel& model) {
  const model::ModelConfig& config = model.hfwa.config();
  HFWA_RETURN_IF_ERROR(NeedsLanguage(config, "anomalyclip"));
  if (config.prompt.type != model::PromptConfig::Type::kLearned) {
    return absl::FailedPreconditionError(
        "anomalyclip judges by learnt prompts: the model's are fixed");
  }
  return std::unique_ptr<Method>(new AnomalyClipMethod(model.hfwa));
}

absl::StatusOr<std::unique_ptr<Detector>> AnomalyClipMethod::Fit(
    const References& references) const {
  if (!references.images.empty()) {
    return absl::FailedPreconditionError(
        "anomalyclip judges without references: see its numbers at zero shots");
  }
  const int index = hfwa_.ClassIndex(references.class_name);
  return std::make_unique<AnomalyClipDetector>(hfwa_.config(), hfwa_.text_pairs()[index].cpu());
}

}  // namespace hfwa::lab
