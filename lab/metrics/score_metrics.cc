#include "lab/metrics/score_metrics.h"

#include <algorithm>
#include <numeric>

namespace hfwa::lab {

Ranking RankScores(absl::Span<const double> scores, absl::Span<const uint8_t> labels,
                   int curve_points) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  Sweep::Totals totals;
  for (const uint8_t label : labels) ++(label != 0 ? totals.anomalous : totals.normal);
  Sweep sweep(totals, curve_points);
  for (size_t i = 0; i < order.size();) {
    Sweep::Step step = {.score = scores[order[i]], .normal = 0, .anomalous = 0};
    for (; i < order.size() && scores[order[i]] == step.score; ++i) {
      ++(labels[order[i]] != 0 ? step.anomalous : step.normal);
    }
    sweep.Add(step);
  }
  return sweep.Finish();
}

SetScores ScaleOverSet(absl::Span<const float> map_maxima, absl::Span<const float> probabilities) {
  SetScores result;
  if (map_maxima.empty()) return result;
  const auto [low, high] = std::minmax_element(map_maxima.begin(), map_maxima.end());
  const float range = *high - *low;
  result.flat = !(range > 0);
  for (size_t i = 0; i < map_maxima.size(); ++i) {
    const float scaled = result.flat ? 0.0F : (map_maxima[i] - *low) / range;
    result.scores.push_back(
        probabilities.empty() ? double{scaled} : 0.5 * (double{probabilities[i]} + double{scaled}));
  }
  return result;
}

}  // namespace hfwa::lab
