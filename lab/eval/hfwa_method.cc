#include "lab/eval/hfwa_method.h"

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "core/bank/bank.h"
#include "core/bank/product_levels.h"
#include "core/base/status_macros.h"
#include "core/engine/maps.h"
#include "core/engine/method.h"
#include "core/model/maps.h"
#include "core/scoring/score_model.h"
#include "lab/eval/reference_bank.h"

namespace hfwa::lab {
namespace {

using BankPtr = std::shared_ptr<const bank::Bank>;

scoring::RawScore ToServiceRaw(const RawScore& raw) {
  scoring::RawScore service;
  service.map_max = raw.map_max;
  if (raw.probability.has_value()) service.text_probability = *raw.probability;
  return service;
}

class HfwaDetector final : public Detector {
 public:
  HfwaDetector(const model::Hfwa& hfwa, BankPtr bank, const scoring::ScoreModel& service)
      : config_(hfwa.config()),
        device_(hfwa.kernels().device()),
        bank_(std::move(bank)),
        service_(service) {}

  absl::StatusOr<Judgement> Judge(const Features& image, bool with_levels) const override {
    const at::Tensor few =
        bank_ != nullptr ? bank_->Match(image.tokens.to(device_)).cpu() : at::Tensor();
    Judgement judgement;
    judgement.map = engine::CombinedMap(config_, image.language_diff, few);
    judgement.raw = {judgement.map.max().item<float>(), image.probability};
    if (few.defined()) judgement.raw.top_hundredth = static_cast<float>(engine::TopPatches(few));
    if (with_levels) judgement.levels = Levels(image.language_diff, few);
    return judgement;
  }

  std::vector<Scoring> Score(absl::Span<const RawScore> images) const override {
    Scoring service = {
        .name = "service", .scores = {}, .threshold = service_.threshold(), .note = ""};
    for (const RawScore& raw : images) service.scores.push_back(service_.Score(ToServiceRaw(raw)));
    std::vector<Scoring> scorings = {PaperScoring(images, bank_ != nullptr), std::move(service)};
    // A level alone has none.
    if (bank_ == nullptr || images.empty() || !images[0].top_hundredth.has_value()) return scorings;
    Scoring top = {.name = "top1", .scores = {}, .threshold = std::nullopt, .note = ""};
    for (const RawScore& raw : images) top.scores.push_back(*raw.top_hundredth);
    scorings.push_back(std::move(top));
    return scorings;
  }

 private:
  // Each level's own map, filtered as the sum is.
  at::Tensor Levels(const at::Tensor& language_diff, const at::Tensor& few) const {
    std::vector<at::Tensor> maps;
    for (int i = 0; i < config_.levels(); ++i) {
      const auto level = [i](const at::Tensor& of) {
        return of.defined() ? of.narrow(0, i, 1) : of;
      };
      maps.push_back(engine::CombinedMap(config_, level(language_diff), level(few)));
    }
    return at::stack(maps);
  }

  const model::ModelConfig& config_;
  const at::Device device_;  // of bank and matching
  const BankPtr bank_;       // null: no references
  const scoring::ScoreModel service_;
};

// Each judged reference against the others, a single one against its own distant patches: as the
// engine does.
absl::StatusOr<std::vector<bank::ReferenceLevels>> MatchReferences(
    const model::Hfwa& hfwa, const std::vector<Features>& references, double coreset_ratio) {
  std::vector<bank::ReferenceLevels> levels;
  for (const int index : scoring::JudgedReferences(static_cast<int>(references.size()))) {
    const auto k = static_cast<size_t>(index);
    const bool alone = references.size() == 1;
    HFWA_ASSIGN_OR_RETURN(
        const BankPtr others,
        MakeBank(hfwa, references, coreset_ratio, alone ? std::nullopt : std::optional<size_t>(k)));
    const at::Tensor tokens = references[k].tokens.to(hfwa.kernels().device());
    levels.push_back({.few = alone ? others->MatchSelf(tokens, 0) : others->Match(tokens),
                      .halves_ratio = bank::HalvesRatio(tokens)});
  }
  return levels;
}

scoring::ScoreModel ServiceModel(const model::ModelConfig& config,
                                 const std::vector<Features>& references,
                                 absl::Span<const bank::ReferenceLevels> levels) {
  std::vector<scoring::ReferenceRaw> raws;
  size_t next = 0;
  for (const int index : scoring::JudgedReferences(static_cast<int>(references.size()))) {
    const Features& reference = references[static_cast<size_t>(index)];
    const at::Tensor map =
        engine::CombinedMap(config, reference.language_diff, levels[next++].few.cpu());
    raws.push_back({.raw = ToServiceRaw({map.max().item<float>(), reference.probability}),
                    .map_mean = map.mean().item<float>()});
  }
  return scoring::ScoreModel::FromReferences(raws);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Detector>> HfwaMethod::Fit(const References& references) const {
  const model::ModelConfig& config = hfwa_.config();
  if (references.images.empty()) {
    if (!config.has_language()) {
      return absl::FailedPreconditionError(
          "the model has no language side: without references there is nothing to judge by");
    }
    return std::make_unique<HfwaDetector>(hfwa_, nullptr,
                                          scoring::ScoreModel::ZeroShot(config.levels()));
  }
  HFWA_ASSIGN_OR_RETURN(BankPtr bank, MakeBank(hfwa_, references.images, coreset_ratio_));
  HFWA_ASSIGN_OR_RETURN(const std::vector<bank::ReferenceLevels> levels,
                        MatchReferences(hfwa_, references.images, coreset_ratio_));
  bank = bank::WeighForProduct(config, std::move(bank), levels);
  const scoring::ScoreModel service = ServiceModel(config, references.images, levels);
  return std::make_unique<HfwaDetector>(hfwa_, std::move(bank), service);
}

}  // namespace hfwa::lab
