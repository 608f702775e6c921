#include "lab/eval/reference_bank.h"

#include <utility>

#include "core/base/status_macros.h"
#include "lab/metrics/score_metrics.h"

namespace hfwa::lab {

absl::StatusOr<std::shared_ptr<const bank::Bank>> MakeBank(const model::Hfwa& hfwa,
                                                           const std::vector<Features>& references,
                                                           double coreset_ratio,
                                                           std::optional<size_t> without) {
  const size_t count = references.size() - (without.has_value() ? 1 : 0);
  HFWA_ASSIGN_OR_RETURN(std::shared_ptr<const bank::Bank> bank,
                        bank::Bank::Create(
                            static_cast<int>(count), hfwa.kernels(),
                            [&](int k) -> absl::StatusOr<at::Tensor> {
                              const auto index = static_cast<size_t>(k);
                              const size_t from =
                                  without.has_value() && index >= *without ? index + 1 : index;
                              return references[from].tokens.to(hfwa.kernels().device());
                            },
                            {}, hfwa.config().level_weights));
  if (coreset_ratio >= 1) return bank;
  return bank->Keep(hfwa.kernels(), bank->Coreset(coreset_ratio));
}

Scoring PaperScoring(absl::Span<const RawScore> images, bool few_shot) {
  Scoring paper = {.name = "paper", .scores = {}, .threshold = std::nullopt, .note = ""};
  std::vector<float> maxima, probabilities;
  for (const RawScore& raw : images) {
    maxima.push_back(raw.map_max);
    if (raw.probability.has_value()) probabilities.push_back(*raw.probability);
  }
  if (!few_shot) {
    paper.scores.assign(probabilities.begin(), probabilities.end());
    return paper;
  }
  SetScores scaled = ScaleOverSet(maxima, probabilities);
  paper.scores = std::move(scaled.scores);
  if (scaled.flat) paper.note = "all maps have the same maximum, which counts 0";
  return paper;
}

}  // namespace hfwa::lab
