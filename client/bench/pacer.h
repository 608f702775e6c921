#pragma once

#include <condition_variable>
#include <mutex>

#include "absl/time/time.h"

namespace hfwa::bench {

// The time that a run goes by, and waiting in it; a test has one of its own.
class Pacer {
 public:
  virtual ~Pacer() = default;
  // Since an arbitrary start; never goes back. Any thread.
  virtual absl::Duration Now() const = 0;
  // Returns at `time`, or as soon as Wake was called since the last wait. One thread.
  virtual void WaitUntil(absl::Duration time) = 0;
  // Any thread.
  virtual void Wake() = 0;
};

// The machine's steady clock.
class RealPacer final : public Pacer {
 public:
  absl::Duration Now() const override;
  void WaitUntil(absl::Duration time) override;
  void Wake() override;

 private:
  // Not absl's: its timed waits go by the wall clock, which may be set back meanwhile.
  std::mutex mu_;
  std::condition_variable changed_;
  bool woken_ = false;
};

}  // namespace hfwa::bench
