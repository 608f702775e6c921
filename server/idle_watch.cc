#include "server/idle_watch.h"

#include <pthread.h>

#include <algorithm>

namespace hfwa::server {

IdleWatch::IdleWatch(Admission* admission, const Clock* clock, absl::Duration limit)
    : admission_(admission), clock_(clock), limit_(limit), thread_([this] { Run(); }) {}

IdleWatch::~IdleWatch() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.join();
}

void IdleWatch::Run() {
  pthread_setname_np(pthread_self(), "idle-watch");
  // A stream ends at most a tenth late.
  const absl::Duration period = std::clamp(limit_ / 10, absl::Milliseconds(10), absl::Seconds(1));
  absl::MutexLock lock(&mu_);
  while (!mu_.AwaitWithTimeout(absl::Condition(&stopping_), period))
    admission_->EndIdle(clock_->SteadyNow() - limit_);
}

}  // namespace hfwa::server
