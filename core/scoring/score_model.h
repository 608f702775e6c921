#pragma once

// Raw values to score, threshold and verdict: design section 5. No tensor here, only numbers.

#include <array>
#include <optional>
#include <vector>

#include "absl/types/span.h"

namespace hfwa::scoring {

// What the model says of one image, unscaled.
struct RawScore {
  std::optional<double> text_probability;  // t, 0..1; absent where the model has no language side
  // m: the largest value of the combined map, or what the product's method has in its place.
  double map_max = 0;
};

// What a good part looks like in raw values: one entry for each reference, judged against a bank
// without itself.
struct ReferenceRaw {
  RawScore raw;
  double map_mean = 0;  // of the combined map: the level of an ordinary pixel
};

// Which of `count` references are judged to make a score model: all up to 16, else 16 spread over
// all, since more would only cost time. Ascending.
inline constexpr int kJudgedMax = 16;
std::vector<int> JudgedReferences(int count);

// SOWA's few-shot score is the mean of t and of m rescaled by its extremes over the test set; a
// service has no test set. Here the references take its place:
//
//   score = (t + n(m)) / 2, or n(m) where there is no language side
//   n(m)  = p / (p + p(1)),  p = softplus(4 u) / 4,  u = (m - low) / (limit - low)
//
// with low the smallest m of a reference and limit the largest plus a margin, so that n(limit) =
// 1/2. n is strictly increasing in m and t, so within a product the order of parts by m is SOWA's.
// Immutable.
class ScoreModel {
 public:
  // A product without references: score = t. `levels` is the number of level maps that are summed.
  static ScoreModel ZeroShot(int levels);

  // At least one reference.
  static ScoreModel FromReferences(absl::Span<const ReferenceRaw> references);

  // All there is to it, to be kept and read back; the same scores to the bit.
  using Numbers = std::array<double, 7>;
  Numbers Serialize() const;
  static ScoreModel Deserialize(const Numbers& numbers);

  // In [0, 1]. Monotone in both raw parts; never NaN for finite input.
  double Score(const RawScore& raw) const;

  // A score of at least this much is anomalous; absent without references. The references' own
  // scores lie below it.
  std::optional<double> threshold() const { return threshold_; }

  // The map value that m reaches at the limit of the good: pixels above it are shown as regions.
  double map_limit() const { return limit_; }
  // Ends of the colour scale: an ordinary pixel, and as far above the limit as that lies below it.
  double display_low() const { return display_low_; }
  double display_high() const { return display_high_; }

 private:
  ScoreModel() = default;

  bool few_shot_ = false;
  double low_ = 0;
  double limit_ = 1;
  double display_low_ = 0;
  double display_high_ = 1;
  std::optional<double> threshold_;
};

}  // namespace hfwa::scoring
