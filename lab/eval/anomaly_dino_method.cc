#include "lab/eval/anomaly_dino_method.h"

#include <optional>
#include <utility>

#include <ATen/ATen.h>

#include "core/bank/bank.h"
#include "core/bank/product_levels.h"
#include "core/base/status_macros.h"
#include "core/engine/method.h"
#include "core/image/turn.h"
#include "core/scoring/score_model.h"
#include "lab/data/load.h"
#include "lab/eval/patch_features.h"

namespace hfwa::lab {
namespace {

constexpr store::Method kMethod = store::Method::kAnomalyDino;

engine::Judged JudgeDistances(const model::ModelConfig& config, const at::Tensor& few) {
  return engine::JudgeMatches(config, kMethod, /*language_diff=*/{}, few.cpu());
}

scoring::RawScore ServiceRaw(double distance) {
  return {.text_probability = std::nullopt, .map_max = distance};
}

class AnomalyDinoDetector final : public Detector {
 public:
  AnomalyDinoDetector(const model::Hfwa& hfwa, std::shared_ptr<const bank::Bank> bank,
                      const scoring::ScoreModel& service)
      : config_(hfwa.config()),
        device_(hfwa.kernels().device()),
        bank_(std::move(bank)),
        service_(service) {}

  absl::StatusOr<Judgement> Judge(const Features& image, bool with_levels) const override {
    const at::Tensor few = bank_->Match(image.tokens.to(device_));
    engine::Judged judged = JudgeDistances(config_, few);
    Judgement judgement = JudgementOf(std::move(judged.map), static_cast<float>(judged.distance()));
    if (with_levels) {
      std::vector<at::Tensor> levels;
      for (int64_t i = 0; i < few.size(0); ++i)
        levels.push_back(JudgeDistances(config_, few.narrow(0, i, 1)).map);
      judgement.levels = at::stack(levels);
    }
    return judgement;
  }

  std::vector<Scoring> Score(absl::Span<const RawScore> images) const override {
    Scoring paper = {.name = "paper", .scores = {}, .threshold = std::nullopt, .note = ""};
    Scoring service = {
        .name = "service", .scores = {}, .threshold = service_.threshold(), .note = ""};
    for (const RawScore& raw : images) {
      const double distance = raw.image.value_or(raw.map_max);
      paper.scores.push_back(distance);
      service.scores.push_back(service_.Score(ServiceRaw(distance)));
    }
    return {std::move(paper), std::move(service)};
  }

 private:
  const model::ModelConfig& config_;
  const at::Device device_;  // of bank and matching
  const std::shared_ptr<const bank::Bank> bank_;
  const scoring::ScoreModel service_;
};

// Reference k against the others in all their orientations, a single one against its own distant
// patches: as the engine does.
at::Tensor MatchOthers(const bank::Bank& bank, int k) {
  const int own = k * image::kOrientations;
  const int after = own + image::kOrientations;
  const at::Tensor tokens = bank.ReferenceTokens(own);
  if (bank.references() == image::kOrientations) return bank.MatchSelf(tokens, own);
  at::Tensor few;
  if (own > 0) few = bank.MatchRange(tokens, 0, own);
  if (after < bank.references()) {
    const at::Tensor behind = bank.MatchRange(tokens, after, bank.references() - after);
    few = few.defined() ? at::minimum(few, behind) : behind;
  }
  return few;
}

std::vector<bank::ReferenceLevels> MatchReferences(const bank::Bank& bank) {
  std::vector<bank::ReferenceLevels> levels;
  for (const int k : scoring::JudgedReferences(bank.references() / image::kOrientations))
    levels.push_back(
        {.few = MatchOthers(bank, k),
         .halves_ratio = bank::HalvesRatio(bank.ReferenceTokens(k * image::kOrientations))});
  return levels;
}

scoring::ScoreModel ServiceModel(const model::ModelConfig& config,
                                 absl::Span<const bank::ReferenceLevels> levels) {
  std::vector<scoring::ReferenceRaw> raws;
  for (const bank::ReferenceLevels& one : levels) {
    const engine::Judged judged = JudgeDistances(config, one.few);
    raws.push_back(
        {.raw = ServiceRaw(judged.distance()), .map_mean = judged.map.mean().item<float>()});
  }
  return scoring::ScoreModel::FromReferences(raws);
}

}  // namespace

absl::StatusOr<at::Tensor> TurnedView::Look(const Subject& subject) const {
  std::vector<at::Tensor> tokens;
  for (int orientation = 1; orientation < image::kOrientations; ++orientation) {
    const at::Tensor input =
        ToModelInput(image::Turn(subject.picture, orientation), hfwa_.config());
    HFWA_ASSIGN_OR_RETURN(const Features features, Encode(hfwa_, input, subject.class_name));
    tokens.push_back(features.tokens);
  }
  return at::stack(tokens);
}

absl::StatusOr<std::unique_ptr<Detector>> AnomalyDinoMethod::Fit(
    const References& references) const {
  HFWA_RETURN_IF_ERROR(NeedsReferences(references, name()));
  const int pictures = image::kOrientations * static_cast<int>(references.images.size());
  const auto tokens_of = [&](int picture) -> absl::StatusOr<at::Tensor> {
    const Features& of = references.images[static_cast<size_t>(picture / image::kOrientations)];
    const int orientation = picture % image::kOrientations;
    const at::Tensor tokens =
        orientation == 0 ? of.tokens : of.views.at(TurnedView::kName)[orientation - 1];
    return tokens.to(hfwa_.kernels().device());
  };
  HFWA_ASSIGN_OR_RETURN(auto bank, bank::Bank::Create(pictures, hfwa_.kernels(), tokens_of, {},
                                                      hfwa_.config().level_weights));
  const std::vector<bank::ReferenceLevels> levels = MatchReferences(*bank);
  bank = bank::WeighForProduct(hfwa_.config(), std::move(bank), levels);
  const scoring::ScoreModel service = ServiceModel(hfwa_.config(), levels);
  return std::make_unique<AnomalyDinoDetector>(hfwa_, std::move(bank), service);
}

}  // namespace hfwa::lab
