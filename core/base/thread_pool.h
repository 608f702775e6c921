#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace hfwa {

// A fixed number of named threads over one bounded queue. Tasks must not throw. Thread-safe.
class ThreadPool {
 public:
  // `name` shows in debuggers (at most 15 characters). `queue_max` bounds the tasks that wait.
  ThreadPool(const std::string& name, int threads, size_t queue_max);
  // Runs what is queued, then joins.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Queues `task`. RESOURCE_EXHAUSTED when the queue is full; the task is then not run.
  absl::Status Submit(std::function<void()> task);

 private:
  void Run(const std::string& name);

  const size_t queue_max_;
  absl::Mutex mu_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace hfwa
