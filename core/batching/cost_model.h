#pragma once

#include "absl/time/time.h"

namespace hfwa::batching {

// How long a batch of b items takes on the device: t(b) = a + c * b, learnt from the batches that
// ran. Recent ones weigh more. Not thread-safe.
class CostModel {
 public:
  // Until something was observed every estimate is zero: nothing is refused on a guess. A batch
  // that took more than three times its estimate is taken for a hiccup, unless the one before was
  // too.
  void Observe(int size, absl::Duration took);

  absl::Duration Estimate(int size) const;

  // What `batches` batches of this size, one after the other, hardly ever take longer than
  // estimated, by how well recent ones kept to their estimates.
  absl::Duration Margin(int size, int batches) const;

  // The smallest batch in which each item's share of the fixed cost is at most `fixed_share_max` of
  // its own cost; a larger one would only add latency. 1 where the device gains nothing from
  // batches (a CPU).
  int UsefulSize(int size_max, double fixed_share_max = 0.05) const;

  // Of the batch to come: UsefulSize, and every 64th time twice that, so that a device that once
  // seemed to gain nothing from batches is seen again.
  int NextSize(int size_max) const;

 private:
  // Exponentially weighted sums of 1, b, b^2, t, b t.
  struct Sums {
    double w = 0, b = 0, bb = 0, t = 0, bt = 0;
    void Add(double size, double seconds, double forget);
  };

  Sums shape_;  // a long past: how the sizes compare
  Sums level_;  // the last batches: how fast the device is now
  double fixed_seconds_ = 0;
  double item_seconds_ = 0;
  double error_ = 0;  // mean relative distance from the line
  int observed_ = 0;  // batches since the last trial of a larger size
  bool hiccup_ = false;
};

}  // namespace hfwa::batching
