#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace hfwa {

// Where time comes from. Everything that waits or measures uses SteadyNow(), which no change of the
// wall clock moves; WallNow() is only for times that people read. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Time since an arbitrary start; never goes back.
  virtual absl::Duration SteadyNow() const = 0;
  virtual absl::Time WallNow() const = 0;

  // The machine's clock. Lives as long as the program.
  static const Clock& Real();
};

// A clock that moves only when told to, for tests. Thread-safe.
class FakeClock final : public Clock {
 public:
  absl::Duration SteadyNow() const override {
    absl::MutexLock lock(&mu_);
    return now_;
  }
  absl::Time WallNow() const override { return absl::UnixEpoch() + SteadyNow(); }
  void Advance(absl::Duration by) {
    absl::MutexLock lock(&mu_);
    now_ += by;
  }

 private:
  mutable absl::Mutex mu_;
  absl::Duration now_ ABSL_GUARDED_BY(mu_) = absl::Seconds(1);
};

}  // namespace hfwa
