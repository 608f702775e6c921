#include "core/batching/concurrency_limit.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hfwa::batching {

namespace {
// Weight of the past after each item: of a change in speed 30 completions leave 4 %.
constexpr double kForget = 0.9;
}  // namespace

void ConcurrencyLimit::Completed(int size, absl::Duration took, absl::Duration before,
                                 absl::Duration after) {
  if (before <= absl::ZeroDuration() || after <= absl::ZeroDuration()) return;
  const double past = std::pow(kForget, size);
  const double ratio = std::clamp(absl::FDivDuration(took, before), 0.1, 10.0);
  slowness_ = past * slowness_ + (1 - past) * ratio;
  slowness_ *= absl::FDivDuration(before, after);  // what the model has learnt is not counted twice
}

int ConcurrencyLimit::Limit(const CostModel& cost, int batch_max) const {
  const int size = cost.UsefulSize(batch_max);
  const absl::Duration batch = slowness_ * cost.Estimate(size);
  if (wait_max_ == absl::InfiniteDuration() || batch <= absl::ZeroDuration()) {
    return std::numeric_limits<int>::max();
  }
  const double items = size * absl::FDivDuration(wait_max_, batch);
  return static_cast<int>(std::clamp(items, 2.0 * size, 1e6));
}

}  // namespace hfwa::batching
