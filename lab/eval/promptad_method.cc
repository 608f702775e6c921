#include "lab/eval/promptad_method.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>

#include "core/base/status_macros.h"
#include "lab/eval/patch_features.h"
#include "lab/eval/window_maps.h"
#include "lab/train/inctrl.h"

namespace hfwa::lab {
namespace {

constexpr char kName[] = "promptad";
constexpr int kImagePrompts = 3, kPixelPrompts = 1;
// Of a draw's two sets of prompts.
constexpr uint64_t kSetsPerSeed = 2;
constexpr double kLeast = 1e-6;  // a harmonic mean's parts

at::Tensor Fused(const at::Tensor& language, const at::Tensor& vision) {
  return HarmonicMean(at::stack({language, vision}).clamp_min(kLeast));
}

at::Tensor UnitImageFeature(const Features& image) {
  const at::Tensor feature = ImageFeatureOf(image.views.at(ValueTokensView::kName));
  return feature / feature.norm();
}

// v-v tokens of the deepest level: [L, E].
at::Tensor LastValueTokens(const Features& image, const model::ModelConfig& config) {
  const auto deepest = std::max_element(config.taps.begin(), config.taps.end());
  return TokensOf(image.views.at(ValueTokensView::kName),
                  config.levels())[deepest - config.taps.begin()];
}

// The tokens of the two levels in the middle: [2, L, E], or one where there is no more.
at::Tensor MiddleLevels(const at::Tensor& tokens) {
  const int64_t levels = tokens.size(0), count = std::min<int64_t>(2, levels);
  return tokens.narrow(0, (levels - count) / 2, count);
}

class PromptadDetector final : public OwnScoreDetector {
 public:
  PromptadDetector(const model::ModelConfig& config, const std::vector<Features>& references,
                   const at::Tensor& image_prototypes, const at::Tensor& pixel_prototypes)
      : config_(config), image_(image_prototypes.cpu()), pixel_(pixel_prototypes.cpu()) {
    for (const Features& reference : references) memory_.push_back(MiddleLevels(reference.tokens));
  }

  absl::StatusOr<Judgement> Judge(const Features& image, bool /*with_levels*/) const override {
    const at::Tensor language = train::AnomalyOf(LastValueTokens(image, config_), pixel_);
    const at::Tensor vision =
        train::LevelResiduals(MiddleLevels(image.tokens), memory_).mean(0) / 2;
    const at::Tensor whole = train::AnomalyOf(UnitImageFeature(image).unsqueeze(0), image_)[0];
    return JudgementOf(PatchMap(config_, Fused(language, vision)),
                       Fused(whole, vision.max()).item<float>());
  }

 private:
  const model::ModelConfig& config_;
  const at::Tensor image_, pixel_;  // prototypes [2, E]
  std::vector<at::Tensor> memory_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> PromptadMethod::Create(const LoadedModel& model) {
  HFWA_RETURN_IF_ERROR(NeedsLanguage(model.files.config, kName));
  HFWA_ASSIGN_OR_RETURN(
      std::unique_ptr<train::PromptadText> text,
      train::PromptadText::Create(model.files.config, model.files.weights, model.files.merges,
                                  model.hfwa.kernels().device()));
  return std::unique_ptr<Method>(new PromptadMethod(model.hfwa, std::move(text)));
}

absl::StatusOr<std::unique_ptr<Detector>> PromptadMethod::Fit(const References& references) const {
  HFWA_RETURN_IF_ERROR(NeedsReferences(references, kName));
  std::vector<at::Tensor> images, tokens;
  for (const Features& reference : references.images) {
    images.push_back(UnitImageFeature(reference));
    tokens.push_back(LastValueTokens(reference, config_));
  }
  const uint64_t seed = kSetsPerSeed * static_cast<uint64_t>(references.seed);
  HFWA_ASSIGN_OR_RETURN(const at::Tensor image,
                        train::LearnPrototypes(*text_, references.class_name, kImagePrompts,
                                               at::stack(images), seed));
  HFWA_ASSIGN_OR_RETURN(const at::Tensor pixel,
                        train::LearnPrototypes(*text_, references.class_name, kPixelPrompts,
                                               at::cat(tokens), seed + 1));
  return std::make_unique<PromptadDetector>(config_, references.images, image, pixel);
}

}  // namespace hfwa::lab
