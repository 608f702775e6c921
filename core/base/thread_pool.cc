#include "core/base/thread_pool.h"

#include <pthread.h>

#include <utility>

namespace hfwa {

ThreadPool::ThreadPool(const std::string& name, int threads, size_t queue_max)
    : queue_max_(queue_max) {
  threads_.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this, name] { Run(name); });
  }
}

ThreadPool::~ThreadPool() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

absl::Status ThreadPool::Submit(std::function<void()> task) {
  absl::MutexLock lock(&mu_);
  if (queue_.size() >= queue_max_) return absl::ResourceExhaustedError("work queue is full");
  queue_.push_back(std::move(task));
  return absl::OkStatus();
}

void ThreadPool::Run(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
  while (true) {
    std::function<void()> task;
    {
      absl::MutexLock lock(&mu_);
      const auto ready = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
        return stopping_ || !queue_.empty();
      };
      mu_.Await(absl::Condition(&ready));
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

}  // namespace hfwa
