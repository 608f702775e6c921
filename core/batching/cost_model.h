#pragma once

#include "absl/time/time.h"

namespace hfwa::batching {

// How long a batch of b items takes on the device: t(b) = a + c * b, learnt from the batches that
// ran. Recent ones weigh more. Not thread-safe.
class CostModel {
 public:
  // Until something was observed every estimate is zero: nothing is refused on a guess.
  void Observe(int size, absl::Duration took);

  absl::Duration Estimate(int size) const;

  // The smallest batch in which each item's share of the fixed cost is at most `fixed_share_max` of
  // its own cost; a larger one would only add latency. 1 where the device gains nothing from
  // batches (a CPU).
  int UsefulSize(int size_max, double fixed_share_max = 0.05) const;

 private:
  void Fit();

  // Exponentially weighted sums of 1, b, b^2, t, b t.
  double w_ = 0, b_ = 0, bb_ = 0, t_ = 0, bt_ = 0;
  double fixed_seconds_ = 0;
  double item_seconds_ = 0;
};

}  // namespace hfwa::batching
