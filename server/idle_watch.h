#pragma once

#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/call.h"

namespace hfwa::server {

// Ends streams whose callers have let them wait for longer than `limit`, while it lives.
class IdleWatch {
 public:
  IdleWatch(Admission* admission, const Clock* clock, absl::Duration limit);
  ~IdleWatch();
  IdleWatch(const IdleWatch&) = delete;
  IdleWatch& operator=(const IdleWatch&) = delete;

 private:
  void Run();

  Admission* const admission_;
  const Clock* const clock_;
  const absl::Duration limit_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace hfwa::server
