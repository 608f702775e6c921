#include "core/batching/planner.h"

#include <algorithm>
#include <utility>

#include "core/base/status_macros.h"

namespace hfwa::batching {
namespace {

constexpr double kUnknownItemSeconds = 1e-3;  // charged until the cost model knows better

SharedRoom::Holder HolderOf(const ItemInfo& info) {
  return {static_cast<int>(info.lane), info.product};
}

FairQueue::Item QueueItem(uint64_t ticket, const ItemInfo& info, uint64_t arrival) {
  return {.deadline = info.deadline,
          .arrival = arrival,
          .ticket = ticket,
          .product = info.product,
          .alone = info.alone};
}

}  // namespace

std::string_view ReasonName(Reason reason) {
  switch (reason) {
    case Reason::kFull:
      return "full";
    case Reason::kDeadline:
      return "deadline";
    case Reason::kIdle:
      return "idle";
  }
  return "idle";
}

BatchPlanner::BatchPlanner(const PlannerOptions& options)
    : options_(options),
      limit_(options.unhurried_wait_max),
      lanes_{LaneState(options.lane_weights[0], options.fairness),
             LaneState(options.lane_weights[1], options.fairness),
             LaneState(options.lane_weights[2], options.fairness)},
      room_(options.items_max, options.bytes_max) {}

absl::Duration BatchPlanner::LatestStart(absl::Duration deadline) const {
  return deadline - options_.reply_margin - cost_.Estimate(1);
}

absl::Duration BatchPlanner::WaitBehind(Lane which, int before, absl::Duration now) const {
  const int size = cost_.UsefulSize(options_.batch_max);
  const absl::Duration batch = cost_.Estimate(size);
  const LaneState& own = lane(which);
  const absl::Duration own_time = before / size * batch;
  absl::Duration wait = own_time;
  for (const LaneState& other : lanes_) {
    if (&other == &own || other.queue.empty()) continue;
    // While the own lane works its way there, the others get their shares, if they have that much.
    const double own_used = own.queue.empty() ? UsedAtReturn(own) : own.used;
    const absl::Duration first = other.used < own_used ? batch : absl::ZeroDuration();
    const absl::Duration all = (other.queue.size() + size - 1) / size * batch;
    wait += std::min(all, own_time * (other.weight / own.weight) + first);
  }
  if (running_.has_value()) wait += std::max(absl::ZeroDuration(), running_->expected_end - now);
  return wait;
}

absl::Duration BatchPlanner::EstimatedWait(Lane which, absl::Duration now) const {
  return WaitBehind(which, lane(which).queue.size(), now);
}

bool BatchPlanner::InTime(const ItemInfo& info, int coming, absl::Duration now) const {
  if (info.deadline == absl::InfiniteDuration()) return true;
  const int size = cost_.UsefulSize(options_.batch_max);
  const auto in_time = [&](int before) {
    // Where a whole batch waits there is enough coming to fill the own one too.
    const int own = before >= size ? size : before + 1;
    const absl::Duration end = now + WaitBehind(info.lane, before, now) + cost_.Estimate(own);
    const absl::Duration margin =
        info.promised ? absl::ZeroDuration() : cost_.Margin(own, 1 + before / size);
    return end + margin + options_.reply_margin <= info.deadline;
  };
  const FairQueue& queue = lane(info.lane).queue;
  if (in_time(coming + queue.MostBefore(info.product))) return true;
  return in_time(coming) && in_time(coming + queue.CountBefore(info.product, info.deadline));
}

absl::Status BatchPlanner::WouldAdmit(const ItemInfo& info, int coming, absl::Duration now) const {
  if (!InTime(info, coming, now)) {
    return absl::DeadlineExceededError("what waits before it leaves no time until the deadline");
  }
  if (Unhurried(info) && unhurried_ + coming >= limit_.Limit(cost_, options_.batch_max)) {
    return absl::ResourceExhaustedError("it would wait too long");
  }
  return absl::OkStatus();
}

absl::Status BatchPlanner::Admit(Ticket ticket, const ItemInfo& info, absl::Duration now) {
  HFWA_RETURN_IF_ERROR(WouldAdmit(info, 0, now));
  HFWA_RETURN_IF_ERROR(room_.Take(HolderOf(info), info.bytes, PartOfRoom(info.lane)));
  LaneState& own = lane(info.lane);
  if (own.queue.empty()) own.used = UsedAtReturn(own);
  unhurried_ += Unhurried(info) ? 1 : 0;
  const uint64_t arrival = arrivals_++;
  own.queue.Push(QueueItem(ticket, info, arrival));
  own.bytes += info.bytes;
  items_.emplace(ticket, Waiting{info, arrival});
  if (info.deadline < absl::InfiniteDuration()) expiry_.emplace(info.deadline, ticket);
  return absl::OkStatus();
}

bool BatchPlanner::Unhurried(const ItemInfo& info) {
  return info.lane != Lane::kRegister && info.deadline == absl::InfiniteDuration();
}

void BatchPlanner::Forget(Ticket ticket) {
  const auto found = items_.find(ticket);
  const ItemInfo& info = found->second.info;
  room_.Give(HolderOf(info), info.bytes);
  lane(info.lane).bytes -= info.bytes;
  if (info.deadline < absl::InfiniteDuration()) expiry_.erase({info.deadline, ticket});
  unhurried_ -= Unhurried(info) ? 1 : 0;
  items_.erase(found);
}

bool BatchPlanner::Remove(Ticket ticket) {
  const auto found = items_.find(ticket);
  if (found == items_.end()) return false;
  const auto& [info, arrival] = found->second;
  lane(info.lane).queue.Remove(QueueItem(ticket, info, arrival));
  Forget(ticket);
  return true;
}

std::vector<BatchPlanner::Ticket> BatchPlanner::TakeExpired(absl::Duration now) {
  std::vector<Ticket> expired;
  while (!expiry_.empty() && LatestStart(expiry_.begin()->first) < now) {
    expired.push_back(expiry_.begin()->second);
    Remove(expired.back());
  }
  return expired;
}

double BatchPlanner::UsedAtReturn(const LaneState& returning) const {
  const bool live = &returning == &lane(Lane::kLive);
  const absl::Duration credit =
      live ? options_.live_credit * cost_.Estimate(cost_.UsefulSize(options_.batch_max))
           : absl::ZeroDuration();
  return std::max(returning.used, lanes_now_ - absl::ToDoubleSeconds(credit) / returning.weight);
}

BatchPlanner::LaneState* BatchPlanner::NextLane() {
  LaneState* next = nullptr;
  for (LaneState& candidate : lanes_) {
    if (candidate.queue.empty()) continue;
    if (next == nullptr || candidate.used < next->used) next = &candidate;
  }
  return next;
}

Reason BatchPlanner::Fill(FairQueue& queue, absl::Duration deadline, absl::Duration now,
                          std::vector<Ticket>& batch) {
  const int size_max = cost_.NextSize(options_.batch_max);
  while (true) {
    const int size = static_cast<int>(batch.size());
    if (size >= size_max) return Reason::kFull;
    if (queue.empty()) return Reason::kIdle;
    const FairQueue::Item& next = queue.Front();
    if (next.alone) return Reason::kFull;
    deadline = std::min(deadline, next.deadline);
    if (now + cost_.Estimate(size + 1) + options_.reply_margin > deadline) return Reason::kDeadline;
    batch.push_back(next.ticket);
    queue.Pop();
  }
}

std::optional<BatchPlanner::Batch> BatchPlanner::TakeBatch(absl::Duration now) {
  if (running_.has_value()) unhurried_ -= std::exchange(running_, std::nullopt)->unhurried;
  LaneState* const next = NextLane();
  if (next == nullptr) return std::nullopt;
  const FairQueue::Item first = next->queue.Pop();
  Batch batch{.tickets = {first.ticket},
              .reason = Reason::kFull,
              .lane = static_cast<Lane>(next - lanes_.data())};
  if (!first.alone) batch.reason = Fill(next->queue, first.deadline, now, batch.tickets);
  const int unhurried = unhurried_;
  for (const Ticket ticket : batch.tickets) Forget(ticket);

  const int size = static_cast<int>(batch.tickets.size());
  const absl::Duration expected = cost_.Estimate(size);
  const double charged = expected > absl::ZeroDuration() ? absl::ToDoubleSeconds(expected)
                                                         : size * kUnknownItemSeconds;
  lanes_now_ = std::max(lanes_now_, next->used);
  next->used += charged / next->weight;
  running_ = {.lane = batch.lane,
              .size = size,
              .unhurried = unhurried - unhurried_,
              .alone = first.alone,
              .charged = charged,
              .expected_end = now + expected};
  unhurried_ = unhurried;  // they count until they are done
  return batch;
}

void BatchPlanner::EndBatch(absl::Duration took) {
  if (!running_.has_value()) return;
  LaneState& own = lane(running_->lane);
  own.used += (absl::ToDoubleSeconds(took) - running_->charged) / own.weight;
  unhurried_ -= running_->unhurried;
  if (!running_->alone) {
    const absl::Duration before = cost_.Estimate(running_->size);
    cost_.Observe(running_->size, took);
    limit_.Completed(running_->size, took, before, cost_.Estimate(running_->size));
  }
  running_.reset();
}

absl::Duration BatchPlanner::NextExpiry() const {
  if (expiry_.empty()) return absl::InfiniteDuration();
  return LatestStart(expiry_.begin()->first);
}

}  // namespace hfwa::batching
