#include "lab/metrics/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace hfwa::lab {

double Auroc(const std::vector<double>& good, const std::vector<double>& defect) {
  if (good.empty() || defect.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::vector<double> sorted = good;
  std::sort(sorted.begin(), sorted.end());
  double pairs = 0;
  for (const double score : defect) {
    const auto [low, high] = std::equal_range(sorted.begin(), sorted.end(), score);
    pairs += static_cast<double>(low - sorted.begin()) + 0.5 * static_cast<double>(high - low);
  }
  return pairs / (static_cast<double>(good.size()) * static_cast<double>(defect.size()));
}

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double Deviation(const std::vector<double>& values) {
  const double mean = Mean(values);
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return std::sqrt(sum / static_cast<double>(values.size()));
}

}  // namespace hfwa::lab
