#pragma once

// Decides what runs next. Pure: no thread, no clock, no item; the tests simulate it.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/batching/concurrency_limit.h"
#include "core/batching/cost_model.h"
#include "core/batching/fair_queue.h"
#include "core/batching/lane.h"
#include "core/batching/shared_room.h"

namespace hfwa::batching {

// How much of a SharedRoom items of this lane may see filled: what can wait leaves the last quarter
// to what can't.
constexpr double PartOfRoom(Lane lane) { return lane == Lane::kLive ? 1 : 0.75; }

struct ItemInfo {
  Lane lane = Lane::kLive;
  uint64_t product = 0;                                // whose share it counts against
  absl::Duration deadline = absl::InfiniteDuration();  // on the steady clock
  int64_t bytes = 0;                                   // held while it waits
  bool alone = false;                                  // may not share a batch
  // WouldAdmit said yes: the margin for what the cost model can't foresee was left then, and is
  // not asked for again.
  bool promised = false;
};

struct PlannerOptions {
  int batch_max = 8;
  int items_max = 256;                                  // that wait, all lanes together
  int64_t bytes_max = 512ll << 20;                      // that they hold
  absl::Duration reply_margin = absl::Milliseconds(1);  // between the batch's end and the deadline
  // Shares of the device's time while all lanes have work; what one leaves the others use. A
  // registration gets one batch for eight live ones.
  std::array<double, kLanes> lane_weights = {16, 4, 2};
  // How many full batches live may be owed where it used less than its share: its bursts go before
  // the other lanes' work up to that.
  int live_credit = 16;
  // Live and bulk items without a deadline are refused when they would wait longer than this
  // (ConcurrencyLimit); infinite: only the queue's bounds hold.
  absl::Duration unhurried_wait_max = absl::InfiniteDuration();
  FairQueueOptions fairness = {};  // between the products of a lane
};

// Why a batch was dispatched: kFull has all the items it may, kDeadline was cut short by its
// earliest deadline, kIdle took what there was.
enum class Reason { kFull, kDeadline, kIdle };
std::string_view ReasonName(Reason reason);

// One queue for all. The lane that used the least of its share goes next (start-time fair queueing
// over device time); within it products share alike (FairQueue). A batch mixes products, not lanes.
// No product fills the queue up alone (SharedRoom), and only live items may fill its last quarter.
// Items are named by the caller's tickets, each unique. Not thread-safe.
class BatchPlanner {
 public:
  using Ticket = uint64_t;

  explicit BatchPlanner(const PlannerOptions& options);

  // Takes an item into the queue. RESOURCE_EXHAUSTED when a limit is reached; DEADLINE_EXCEEDED
  // when it would not be done in time after all that goes before it.
  absl::Status Admit(Ticket ticket, const ItemInfo& info, absl::Duration now);

  // What Admit would say of deadline and wait if `coming` more items of the lane, admitted and not
  // here yet, went before it: whoever has work to do before an item is ready asks this first.
  absl::Status WouldAdmit(const ItemInfo& info, int coming, absl::Duration now) const;

  // Takes an item out, if it still waits.
  bool Remove(Ticket ticket);

  // Items whose deadline can no longer be kept; they leave the queue.
  std::vector<Ticket> TakeExpired(absl::Duration now);

  struct Batch {
    std::vector<Ticket> tickets;
    Reason reason;
    Lane lane;
  };
  // The next batch for an idle device; its items leave the queue. Empty queue: nullopt. Call
  // TakeExpired first.
  std::optional<Batch> TakeBatch(absl::Duration now);

  // The batch taken last has ended: counts its time against its lane and teaches the cost model.
  void EndBatch(absl::Duration took);

  // When TakeExpired next has something to do; infinite if never.
  absl::Duration NextExpiry() const;

  // How long an item of this lane that goes after all others would wait for its batch to begin.
  absl::Duration EstimatedWait(Lane lane, absl::Duration now) const;

  // Teaches the cost model what a batch took that the planner did not give out (warm-up).
  void ObserveBatch(int size, absl::Duration took) { cost_.Observe(size, took); }
  int waiting() const { return room_.items(); }
  int64_t waiting_bytes() const { return room_.bytes(); }
  int waiting(Lane which) const { return lane(which).queue.size(); }
  int64_t waiting_bytes(Lane which) const { return lane(which).bytes; }

 private:
  struct LaneState {
    LaneState(double lane_weight, const FairQueueOptions& fairness)
        : weight(lane_weight), queue(fairness) {}
    double weight;
    double used = 0;    // device seconds over weight: the lane's virtual time
    int64_t bytes = 0;  // that its items hold
    FairQueue queue;
  };
  struct Waiting {
    ItemInfo info;
    uint64_t arrival;
  };
  struct Running {
    Lane lane;
    int size;
    int unhurried;  // of the items
    bool alone;
    double charged;  // seconds
    absl::Duration expected_end;
  };

  LaneState& lane(Lane which) { return lanes_[static_cast<size_t>(which)]; }
  const LaneState& lane(Lane which) const { return lanes_[static_cast<size_t>(which)]; }
  absl::Duration LatestStart(absl::Duration deadline) const;
  bool InTime(const ItemInfo& info, int coming, absl::Duration now) const;
  // Until the batch begins that holds an item with `before` others of its lane in front of it.
  absl::Duration WaitBehind(Lane which, int before, absl::Duration now) const;
  // What a lane without work is taken to have used when it gets some: idleness saves nothing up,
  // or little.
  double UsedAtReturn(const LaneState& returning) const;
  // That runs next; null if none has work.
  LaneState* NextLane();
  // Fills the batch that `batch` begins; returns why it ended.
  Reason Fill(FairQueue& queue, absl::Duration deadline, absl::Duration now,
              std::vector<Ticket>& batch);
  // Whether an item counts against the concurrency limit.
  static bool Unhurried(const ItemInfo& info);
  // The item has left its queue.
  void Forget(Ticket ticket);

  const PlannerOptions options_;
  CostModel cost_;
  ConcurrencyLimit limit_;
  int unhurried_ = 0;  // waiting and running
  std::array<LaneState, kLanes> lanes_;
  double lanes_now_ = 0;  // virtual time: what the lane in service had used
  SharedRoom room_;
  uint64_t arrivals_ = 0;
  absl::flat_hash_map<Ticket, Waiting> items_;
  absl::btree_set<std::pair<absl::Duration, Ticket>> expiry_;  // of those with a deadline
  std::optional<Running> running_;
};

}  // namespace hfwa::batching
