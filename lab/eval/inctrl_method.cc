#include "lab/eval/inctrl_method.h"

#include <utility>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "lab/eval/patch_features.h"
#include "lab/learnt_file.h"

namespace hfwa::lab {
namespace {

constexpr char kName[] = "inctrl";

at::Tensor ImageFeature(const Features& image) {
  return ImageFeatureOf(image.views.at(TowerTokensView::kName));
}
at::Tensor Tokens(const Features& image, const model::ModelConfig& config) {
  return TokensOf(image.views.at(TowerTokensView::kName), config.levels());
}

class InctrlDetector final : public OwnScoreDetector {
 public:
  InctrlDetector(const model::ModelConfig& config, std::shared_ptr<const train::Inctrl> inctrl,
                 const std::vector<Features>& references, const at::Tensor& text_pair)
      : config_(config), inctrl_(std::move(inctrl)), text_pair_(text_pair.unsqueeze(0)) {
    std::vector<at::Tensor> features;
    for (const Features& reference : references) {
      tokens_.push_back(Tokens(reference, config));
      features.push_back(ImageFeature(reference));
    }
    features_ = at::stack(features);
  }

  absl::StatusOr<Judgement> Judge(const Features& image, bool /*with_levels*/) const override {
    const at::Tensor residuals = train::LevelResiduals(Tokens(image, config_), tokens_).mean(0);
    train::InctrlInput input;
    input.residuals = residuals.unsqueeze(0);
    input.features = ImageFeature(image).unsqueeze(0);
    input.references = {features_};
    input.prior = train::TextPrior(input.features, text_pair_);
    const at::Tensor score = inctrl_->Score(input).score;
    return JudgementOf(PatchMap(config_, residuals), score.item<float>());
  }

 private:
  const model::ModelConfig& config_;
  const std::shared_ptr<const train::Inctrl> inctrl_;
  const at::Tensor text_pair_;      // [1, 2, E]
  std::vector<at::Tensor> tokens_;  // of each reference [n, L, E]
  at::Tensor features_;             // [K, E]
};

}  // namespace

InctrlMethod::InctrlMethod(const model::Hfwa& hfwa, std::unique_ptr<PromptEnsemble> prompts,
                           std::shared_ptr<const train::Inctrl> inctrl)
    : config_(hfwa.config()),
      view_(hfwa),
      prompts_(std::move(prompts)),
      inctrl_(std::move(inctrl)) {}

absl::StatusOr<std::unique_ptr<Method>> InctrlMethod::Create(const LoadedModel& model) {
  HFWA_RETURN_IF_ERROR(NeedsLanguage(model.files.config, kName));
  std::string learnt_over;
  {
    // Read once more for its digest: what the model was read with covers what was learnt too.
    HFWA_ASSIGN_OR_RETURN(const model::FrozenModel frozen, model::ReadFrozenModel(model.directory));
    learnt_over = LearntOver(frozen.config, frozen.digest);
  }
  HFWA_ASSIGN_OR_RETURN(const train::Tensors tensors,
                        ReadLearntFile(model.directory, kName, learnt_over));
  auto inctrl = train::Inctrl::Create(model.files.config, tensors, at::kCPU);
  if (!inctrl.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(model.directory, "/", LearntFileName(kName), ": ", inctrl.status().message()));
  }
  HFWA_ASSIGN_OR_RETURN(
      std::unique_ptr<PromptEnsemble> prompts,
      PromptEnsemble::Create(model.files.config, model.files.weights, model.files.merges, kName));
  return std::unique_ptr<Method>(
      new InctrlMethod(model.hfwa, std::move(prompts), *std::move(inctrl)));
}

absl::StatusOr<std::unique_ptr<Detector>> InctrlMethod::Fit(const References& references) const {
  HFWA_RETURN_IF_ERROR(NeedsReferences(references, kName));
  HFWA_ASSIGN_OR_RETURN(const at::Tensor pair, prompts_->Pair(references.class_name));
  return std::make_unique<InctrlDetector>(config_, inctrl_, references.images, pair);
}

}  // namespace hfwa::lab
