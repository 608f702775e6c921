#include "core/batching/batcher.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace hfwa::batching {
namespace {

void RefuseAll(const std::vector<std::unique_ptr<Item>>& items, const absl::Status& status) {
  for (const auto& item : items) item->Refuse(status);
}

}  // namespace

Batcher::Batcher(const PlannerOptions& options, const Clock* clock, RunBatch run, OnQueue on_queue)
    : clock_(clock), run_(std::move(run)), on_queue_(std::move(on_queue)), planner_(options) {
  device_ = std::thread([this] { DeviceLoop(); });
  reaper_ = std::thread([this] { ReaperLoop(); });
}

Batcher::~Batcher() { Close(); }

void Batcher::Close() {
  std::vector<std::unique_ptr<Item>> left;
  {
    absl::MutexLock lock(&mu_);
    if (closing_) return;
    closing_ = true;
    for (auto& [ticket, item] : items_) {
      planner_.Remove(ticket);
      left.push_back(std::move(item));
    }
    items_.clear();
    work_.SignalAll();
    expiry_.SignalAll();
  }
  RefuseAll(left, absl::UnavailableError("the server is closing"));
  device_.join();
  reaper_.join();
}

void Batcher::Notify() {
  if (!on_queue_) return;
  Load load;
  for (int i = 0; i < kLanes; ++i) {
    const Lane lane = static_cast<Lane>(i);
    load[static_cast<size_t>(i)] = {.waiting = planner_.waiting(lane),
                                    .waiting_bytes = planner_.waiting_bytes(lane),
                                    .running = lane == running_lane_ ? running_ : 0};
  }
  on_queue_(load);
}

absl::Status Batcher::WouldAdmit(const ItemInfo& info, int coming) const {
  absl::MutexLock lock(&mu_);
  return planner_.WouldAdmit(info, coming, clock_->SteadyNow());
}

absl::Status Batcher::Submit(std::unique_ptr<Item> item, const ItemInfo& info) {
  absl::MutexLock lock(&mu_);
  if (closing_) return absl::UnavailableError("the server is closing");
  const BatchPlanner::Ticket ticket = next_ticket_++;
  if (absl::Status status = planner_.Admit(ticket, info, clock_->SteadyNow()); !status.ok())
    return status;
  items_.emplace(ticket, std::move(item));
  Notify();
  work_.Signal();
  if (info.deadline < absl::InfiniteDuration()) expiry_.Signal();
  return absl::OkStatus();
}

std::vector<std::unique_ptr<Item>> Batcher::Collect(
    const std::vector<BatchPlanner::Ticket>& tickets) {
  std::vector<std::unique_ptr<Item>> collected;
  collected.reserve(tickets.size());
  for (const BatchPlanner::Ticket ticket : tickets) {
    const auto it = items_.find(ticket);
    collected.push_back(std::move(it->second));
    items_.erase(it);
  }
  return collected;
}

void Batcher::DeviceLoop() {
  pthread_setname_np(pthread_self(), "hfwa-device");
  while (true) {
    std::vector<std::unique_ptr<Item>> batch;
    std::vector<std::unique_ptr<Item>> late;
    std::vector<std::unique_ptr<Item>> cancelled;
    Reason reason = Reason::kIdle;
    {
      absl::MutexLock lock(&mu_);
      while (!closing_ && planner_.waiting() == 0) work_.Wait(&mu_);
      if (closing_) return;
      // Those nobody waits for give their place in the batch to others.
      std::vector<BatchPlanner::Ticket> gone;
      for (const auto& [ticket, item] : items_) {
        if (item->Cancelled()) gone.push_back(ticket);
      }
      for (const BatchPlanner::Ticket ticket : gone) planner_.Remove(ticket);
      cancelled = Collect(gone);
      const absl::Duration now = clock_->SteadyNow();
      late = Collect(planner_.TakeExpired(now));
      if (auto planned = planner_.TakeBatch(now)) {
        batch = Collect(planned->tickets);
        reason = planned->reason;
        running_lane_ = planned->lane;
      }
      running_ = static_cast<int>(batch.size());
      running_since_ = now;
      Notify();
    }
    RefuseAll(cancelled, absl::CancelledError("the caller has gone"));
    RefuseAll(late, absl::DeadlineExceededError("the deadline passed in the queue"));
    if (batch.empty()) continue;

    const absl::Duration start = clock_->SteadyNow();
    run_(std::move(batch), reason);
    const absl::Duration took = clock_->SteadyNow() - start;

    absl::MutexLock lock(&mu_);
    planner_.EndBatch(took);
    running_ = 0;
    Notify();
  }
}

void Batcher::ReaperLoop() {
  pthread_setname_np(pthread_self(), "hfwa-reaper");
  while (true) {
    std::vector<std::unique_ptr<Item>> late;
    {
      absl::MutexLock lock(&mu_);
      if (closing_) return;
      const absl::Duration next = planner_.NextExpiry();
      const absl::Duration now = clock_->SteadyNow();
      if (next >= now) {
        if (next == absl::InfiniteDuration()) {
          expiry_.Wait(&mu_);
        } else {
          expiry_.WaitWithTimeout(&mu_, next - now + absl::Microseconds(100));
        }
        if (closing_) return;
      }
      late = Collect(planner_.TakeExpired(clock_->SteadyNow()));
      if (!late.empty()) Notify();
    }
    RefuseAll(late, absl::DeadlineExceededError("the deadline passed in the queue"));
  }
}

void Batcher::ObserveBatch(int size, absl::Duration took) {
  absl::MutexLock lock(&mu_);
  planner_.ObserveBatch(size, took);
}

absl::Duration Batcher::EstimatedWait(Lane lane) const {
  absl::MutexLock lock(&mu_);
  return planner_.EstimatedWait(lane, clock_->SteadyNow());
}

std::optional<absl::Duration> Batcher::RunningSince() const {
  absl::MutexLock lock(&mu_);
  if (running_ == 0) return std::nullopt;
  return running_since_;
}

bool Batcher::WaitIdle(absl::Duration timeout) const {
  absl::MutexLock lock(&mu_);
  const auto idle = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return planner_.waiting() == 0 && running_ == 0;
  };
  return mu_.AwaitWithTimeout(absl::Condition(&idle), timeout);
}

}  // namespace hfwa::batching
