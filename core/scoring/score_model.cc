#include "core/scoring/score_model.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace hfwa::scoring {
namespace {

// How sharply n(m) falls below the smallest reference.
constexpr double kSharpness = 4.0;
// The margin above the largest reference: a standard deviation of the references' values, and at
// least this share of their mean divided by their number. Few references show too little of their
// spread; the shares are measured (docs/scoring.md).
constexpr double kMarginDeviations = 1.0;
constexpr double kMarginShare = 0.25;

double Softplus(double u) {
  const double x = kSharpness * u;
  // log1p(exp(x)) without overflow.
  return (x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x))) / kSharpness;
}

// 1/2 at u = 1, rising from 0 to 1.
double Squash(double u) {
  const double p = Softplus(u);
  return p / (p + Softplus(1.0));
}

struct Summary {
  double low, high, mean, deviation;
};

template <typename Value>
Summary Summarize(absl::Span<const ReferenceRaw> references, Value value) {
  Summary s{value(references[0]), value(references[0]), 0, 0};
  for (const ReferenceRaw& reference : references) {
    s.low = std::min(s.low, value(reference));
    s.high = std::max(s.high, value(reference));
    s.mean += value(reference);
  }
  s.mean /= static_cast<double>(references.size());
  for (const ReferenceRaw& reference : references) {
    s.deviation += (value(reference) - s.mean) * (value(reference) - s.mean);
  }
  s.deviation = std::sqrt(s.deviation / static_cast<double>(references.size()));
  return s;
}

}  // namespace

std::vector<int> JudgedReferences(int count) {
  const int judged = std::min(count, kJudgedMax);
  std::vector<int> references;
  for (int j = 0; j < judged; ++j)
    references.push_back(static_cast<int>(int64_t{j} * count / judged));
  return references;
}

ScoreModel ScoreModel::ZeroShot(int levels) {
  ScoreModel model;
  // Each level's map is a probability that hovers near 1/2 (cosines differ by hundredths).
  model.limit_ = 0.5 * levels;
  model.display_low_ = 0.45 * levels;
  model.display_high_ = 0.55 * levels;
  return model;
}

ScoreModel ScoreModel::FromReferences(absl::Span<const ReferenceRaw> references) {
  ScoreModel model;
  model.few_shot_ = true;
  const Summary m = Summarize(references, [](const auto& r) { return r.raw.map_max; });
  const double share = kMarginShare / static_cast<double>(references.size());
  const double margin = std::max({kMarginDeviations * m.deviation, share * std::abs(m.mean), 1e-6});
  model.low_ = m.low;
  model.limit_ = m.high + margin;
  const Summary mean = Summarize(references, [](const auto& r) { return r.map_mean; });
  model.display_low_ = std::min(mean.mean, model.limit_ - margin);
  model.display_high_ = 2 * model.limit_ - model.display_low_;

  double threshold = 0.5;  // n(limit)
  if (references[0].raw.text_probability.has_value()) {
    const Summary t =
        Summarize(references, [](const auto& r) { return r.raw.text_probability.value_or(0); });
    const double t_margin = std::max(kMarginDeviations * t.deviation, share * t.mean);
    threshold = 0.5 * (std::min(1.0, t.high + t_margin) + 0.5);
  }
  model.threshold_ = threshold;
  return model;
}

ScoreModel::Numbers ScoreModel::Serialize() const {
  return {few_shot_ ? 1.0 : 0.0, low_, limit_, display_low_, display_high_, threshold_ ? 1.0 : 0.0,
          threshold_.value_or(0)};
}

ScoreModel ScoreModel::Deserialize(const Numbers& numbers) {
  ScoreModel model;
  model.few_shot_ = numbers[0] != 0;
  model.low_ = numbers[1];
  model.limit_ = numbers[2];
  model.display_low_ = numbers[3];
  model.display_high_ = numbers[4];
  if (numbers[5] != 0) model.threshold_ = numbers[6];
  return model;
}

double ScoreModel::Score(const RawScore& raw) const {
  if (!few_shot_) return std::clamp(raw.text_probability.value_or(0), 0.0, 1.0);
  const double n = Squash((raw.map_max - low_) / (limit_ - low_));
  if (!raw.text_probability.has_value()) return n;
  return 0.5 * (std::clamp(*raw.text_probability, 0.0, 1.0) + n);
}

}  // namespace hfwa::scoring
