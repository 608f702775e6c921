#include "client/bench/pacer.h"

#include <chrono>

namespace hfwa::bench {

using std::chrono::steady_clock;

absl::Duration RealPacer::Now() const {
  return absl::FromChrono(steady_clock::now().time_since_epoch());
}

void RealPacer::WaitUntil(absl::Duration time) {
  const steady_clock::time_point until(absl::ToChronoNanoseconds(time));
  std::unique_lock<std::mutex> lock(mu_);
  changed_.wait_until(lock, until, [this] { return woken_; });
  woken_ = false;
}

void RealPacer::Wake() {
  const std::lock_guard<std::mutex> lock(mu_);
  woken_ = true;
  changed_.notify_one();
}

}  // namespace hfwa::bench
