#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "core/base/clock.h"
#include "core/batching/planner.h"

namespace hfwa::batching {

// Something that waits for the device. Each item ends exactly once: it is given to the batch
// function, or Refuse is called.
class Item {
 public:
  virtual ~Item() = default;
  // True once nobody waits for the outcome; asked when the item would be dispatched.
  virtual bool Cancelled() const = 0;
  // DEADLINE_EXCEEDED, CANCELLED or UNAVAILABLE (closing).
  virtual void Refuse(const absl::Status& status) = 0;
};

// Feeds the device: one thread runs batches, one after the other, another refuses what is late
// while a batch runs. Thread-safe.
class Batcher {
 public:
  // Runs a batch to its end. Called on the device thread.
  using RunBatch = std::function<void(std::vector<std::unique_ptr<Item>>, Reason)>;
  // A lane's items and bytes that wait, and its items on the device.
  struct LaneLoad {
    int waiting = 0;
    int64_t waiting_bytes = 0;
    int running = 0;
  };
  using Load = std::array<LaneLoad, kLanes>;
  // Told of the queue after each change. Quick, no callback in.
  using OnQueue = std::function<void(const Load&)>;

  Batcher(const PlannerOptions& options, const Clock* clock, RunBatch run, OnQueue on_queue);
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // On success the item ends later; on an error (see BatchPlanner::Admit; UNAVAILABLE when closing)
  // it is dropped without Refuse.
  absl::Status Submit(std::unique_ptr<Item> item, const ItemInfo& info);

  // See BatchPlanner::WouldAdmit.
  absl::Status WouldAdmit(const ItemInfo& info, int coming) const;

  // Refuses what waits and what comes, ends the running batch, joins. Not from the callbacks. Only
  // the first call does anything.
  void Close();

  // Teaches the cost model what a warm-up batch took.
  void ObserveBatch(int size, absl::Duration took);

  // See BatchPlanner::EstimatedWait.
  absl::Duration EstimatedWait(Lane lane) const;
  // When the running batch began, on the steady clock; nullopt when the device is idle. For a
  // watchdog.
  std::optional<absl::Duration> RunningSince() const;
  // Waits until nothing waits and nothing runs, or the timeout. True if so.
  bool WaitIdle(absl::Duration timeout) const;

 private:
  void DeviceLoop();
  void ReaperLoop();
  void Notify() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<std::unique_ptr<Item>> Collect(const std::vector<BatchPlanner::Ticket>& tickets)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock* const clock_;
  const RunBatch run_;
  const OnQueue on_queue_;

  mutable absl::Mutex mu_;
  absl::CondVar work_;    // something to run, or closing
  absl::CondVar expiry_;  // the next expiry may have changed, or closing
  BatchPlanner planner_ ABSL_GUARDED_BY(mu_);
  std::map<BatchPlanner::Ticket, std::unique_ptr<Item>> items_ ABSL_GUARDED_BY(mu_);
  BatchPlanner::Ticket next_ticket_ ABSL_GUARDED_BY(mu_) = 1;
  int running_ ABSL_GUARDED_BY(mu_) = 0;
  Lane running_lane_ ABSL_GUARDED_BY(mu_) = Lane::kLive;
  absl::Duration running_since_ ABSL_GUARDED_BY(mu_);
  bool closing_ ABSL_GUARDED_BY(mu_) = false;

  std::thread device_;
  std::thread reaper_;
};

}  // namespace hfwa::batching
