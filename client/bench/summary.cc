#include "client/bench/summary.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace hfwa::bench {

double Percentile(const std::vector<double>& sorted, double percent) {
  const auto count = static_cast<double>(sorted.size());
  // 99.9 % of 1000 values are 999 of them, whatever the product's last bit says.
  const double rank = std::ceil(percent * count / 100 * (1 - 1e-12));
  return sorted[static_cast<size_t>(std::clamp(rank, 1.0, count)) - 1];
}

Summary Summarize(std::vector<double>& values) {
  Summary summary;
  if (values.empty()) return summary;
  std::sort(values.begin(), values.end());
  summary.count = values.size();
  summary.mean =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  summary.p50 = Percentile(values, 50);
  summary.p90 = Percentile(values, 90);
  summary.p95 = Percentile(values, 95);
  summary.p99 = Percentile(values, 99);
  summary.p99_9 = Percentile(values, 99.9);
  summary.max = values.back();
  return summary;
}

}  // namespace hfwa::bench
