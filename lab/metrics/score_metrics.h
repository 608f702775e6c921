#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "lab/metrics/sweep.h"

namespace hfwa::lab {

// Image metrics (training-and-data spec, 7.1 to 7.3). Equal scores are ties. labels[i] is 1 for a
// defect; scores are finite.
Ranking RankScores(absl::Span<const double> scores, absl::Span<const uint8_t> labels,
                   int curve_points = 0);

// SOWA's few-shot image score over all test images of a class (spec 7.4): half the language
// probability plus half the maximum of the map scaled by its extremes, computed in float32; the
// latter alone where there is no language. Without a spread of maxima these count 0, and `flat` is
// set.
struct SetScores {
  std::vector<double> scores;
  bool flat = false;
};
SetScores ScaleOverSet(absl::Span<const float> map_maxima,
                       absl::Span<const float> probabilities);  // empty: no language

}  // namespace hfwa::lab
