#pragma once

#include <cstddef>
#include <vector>

namespace hfwa::bench {

// The nearest-rank percentile: the smallest value that at least `percent` of all do not exceed.
// `sorted` ascending and not empty; `percent` 0 to 100.
double Percentile(const std::vector<double>& sorted, double percent);

// Exact figures of a set of values; all 0 where there are none.
struct Summary {
  size_t count = 0;
  double mean = 0;
  double p50 = 0;
  double p90 = 0;
  double p95 = 0;
  double p99 = 0;
  double p99_9 = 0;
  double max = 0;
};

// Sorts `values`.
Summary Summarize(std::vector<double>& values);

}  // namespace hfwa::bench
