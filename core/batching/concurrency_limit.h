#pragma once

#include "absl/time/time.h"
#include "core/batching/cost_model.h"

namespace hfwa::batching {

// How many items without a deadline may be admitted and not done, so that the last of them waits
// for about `wait_max`: what the device does in that time (Little's law), at the speed that recent
// batches had, but never less than two batches of the useful size, below which the device would
// idle. Nothing is probed: the cost model says what a batch of any size takes, and each completion
// corrects it by how much longer or shorter it took. Only batches that ran are counted, so callers
// who go away do not lower the limit. Not thread-safe.
class ConcurrencyLimit {
 public:
  explicit ConcurrencyLimit(absl::Duration wait_max) : wait_max_(wait_max) {}

  // A batch of `size` took `took`; `before` and `after` are the cost model's estimates for it
  // before and after it learnt of it. Zero: it knew nothing.
  void Completed(int size, absl::Duration took, absl::Duration before, absl::Duration after);

  // Items, for a device of this cost with batches of at most `batch_max`.
  int Limit(const CostModel& cost, int batch_max) const;

 private:
  const absl::Duration wait_max_;
  double slowness_ = 1;  // of late, relative to the cost model
};

}  // namespace hfwa::batching
