#pragma once

// Decides what runs next. Pure: no thread, no clock, no item; the tests simulate it.

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/batching/cost_model.h"

namespace hfwa::batching {

// kLive goes before kRegister; after kLiveBurstMax batches in a row the other lane gets one, so
// that a registration advances whatever the load.
enum class Lane { kLive = 0, kRegister = 1 };
inline constexpr int kLiveBurstMax = 8;

struct ItemInfo {
  Lane lane = Lane::kLive;
  absl::Duration deadline = absl::InfiniteDuration();  // on the steady clock
  int64_t bytes = 0;                                   // held while it waits
  bool alone = false;                                  // may not share a batch
};

struct PlannerOptions {
  int batch_max = 8;
  int items_max = 256;                                  // that wait, both lanes together
  int64_t bytes_max = 512ll << 20;                      // that they hold
  absl::Duration reply_margin = absl::Milliseconds(1);  // between the batch's end and the deadline
};

// Why a batch was dispatched: kFull has all the items it may, kDeadline was cut short by its
// earliest deadline, kIdle took what there was.
enum class Reason { kFull, kDeadline, kIdle };
std::string_view ReasonName(Reason reason);

// Items are named by the caller's tickets, each unique. Not thread-safe.
class BatchPlanner {
 public:
  using Ticket = uint64_t;

  explicit BatchPlanner(const PlannerOptions& options) : options_(options) {}

  // Takes an item into the queue. RESOURCE_EXHAUSTED when a limit is reached; DEADLINE_EXCEEDED
  // when it could not be done in time even if it went next.
  absl::Status Admit(Ticket ticket, const ItemInfo& info, absl::Duration now);

  // Takes an item out, if it still waits.
  bool Remove(Ticket ticket);

  // Items whose deadline can no longer be kept; they leave the queue.
  std::vector<Ticket> TakeExpired(absl::Duration now);

  struct Batch {
    std::vector<Ticket> tickets;
    Reason reason;
    bool alone = false;  // its time says nothing about batches: don't observe it
  };
  // The next batch for an idle device; its items leave the queue. Empty queue: nullopt. Call
  // TakeExpired first.
  std::optional<Batch> TakeBatch(absl::Duration now);

  // When TakeExpired next has something to do; infinite if never.
  absl::Duration NextExpiry() const;

  // How long an item that comes now would wait, if all in front of it ran in batches of the useful
  // size.
  absl::Duration EstimatedWait() const;

  void ObserveBatch(int size, absl::Duration took) { cost_.Observe(size, took); }
  int waiting() const { return static_cast<int>(items_.size()); }
  int64_t waiting_bytes() const { return bytes_; }

 private:
  // Earliest deadline first; equal deadlines in the order of arrival.
  using Key = std::tuple<Lane, absl::Duration, uint64_t>;
  struct Entry {
    Ticket ticket;
    ItemInfo info;
  };

  void Erase(std::map<Key, Entry>::iterator it);
  absl::Duration LatestStart(const ItemInfo& info) const;

  const PlannerOptions options_;
  CostModel cost_;
  uint64_t arrivals_ = 0;
  int live_burst_ = 0;
  int64_t bytes_ = 0;
  std::map<Key, Entry> queue_;
  std::map<Ticket, Key> items_;
};

}  // namespace hfwa::batching
