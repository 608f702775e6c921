#include "core/batching/planner.h"

#include <algorithm>
#include <utility>

namespace hfwa::batching {

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

absl::Duration BatchPlanner::LatestStart(const ItemInfo& info) const {
  return info.deadline - options_.reply_margin - cost_.Estimate(1);
}

absl::Status BatchPlanner::Admit(Ticket ticket, const ItemInfo& info, absl::Duration now) {
  if (waiting() >= options_.items_max) return absl::ResourceExhaustedError("too many images wait");
  if (info.bytes > options_.bytes_max - bytes_) {
    return absl::ResourceExhaustedError("the images that wait hold too many bytes");
  }
  if (LatestStart(info) < now) {
    return absl::DeadlineExceededError("the deadline is closer than one batch takes");
  }
  const Key key{info.lane, info.deadline, arrivals_++};
  queue_.emplace(key, Entry{ticket, info});
  items_.emplace(ticket, key);
  bytes_ += info.bytes;
  return absl::OkStatus();
}

void BatchPlanner::Erase(std::map<Key, Entry>::iterator it) {
  bytes_ -= it->second.info.bytes;
  items_.erase(it->second.ticket);
  queue_.erase(it);
}

bool BatchPlanner::Remove(Ticket ticket) {
  const auto found = items_.find(ticket);
  if (found == items_.end()) return false;
  Erase(queue_.find(found->second));
  return true;
}

std::vector<BatchPlanner::Ticket> BatchPlanner::TakeExpired(absl::Duration now) {
  std::vector<Ticket> expired;
  for (const Lane lane : {Lane::kLive, Lane::kRegister}) {
    auto it = queue_.lower_bound(Key{lane, -absl::InfiniteDuration(), 0});
    while (it != queue_.end() && std::get<0>(it->first) == lane &&
           LatestStart(it->second.info) < now) {
      expired.push_back(it->second.ticket);
      Erase(it++);
    }
  }
  return expired;
}

std::optional<BatchPlanner::Batch> BatchPlanner::TakeBatch(absl::Duration now) {
  if (queue_.empty()) return std::nullopt;
  auto first = queue_.begin();
  const auto other = queue_.lower_bound(Key{Lane::kRegister, -absl::InfiniteDuration(), 0});
  if (std::get<0>(first->first) == Lane::kLive) {
    if (live_burst_ >= kLiveBurstMax && other != queue_.end()) {
      first = other;
      live_burst_ = 0;
    } else {
      ++live_burst_;
    }
  } else {
    live_burst_ = 0;
  }

  const Lane lane = std::get<0>(first->first);
  const absl::Duration deadline = first->second.info.deadline;  // the earliest of its lane
  Batch batch{.tickets = {first->second.ticket}, .reason = Reason::kIdle};
  const bool alone = first->second.info.alone;
  Erase(first++);
  if (alone) {
    batch.reason = Reason::kFull;
    batch.alone = true;
    return batch;
  }
  const int size_max = cost_.UsefulSize(options_.batch_max);
  while (true) {
    const int size = static_cast<int>(batch.tickets.size());
    if (size >= size_max) {
      batch.reason = Reason::kFull;
      break;
    }
    if (first == queue_.end() || std::get<0>(first->first) != lane) break;
    if (now + cost_.Estimate(size + 1) + options_.reply_margin > deadline) {
      batch.reason = Reason::kDeadline;
      break;
    }
    if (first->second.info.alone) {
      ++first;
      continue;
    }
    batch.tickets.push_back(first->second.ticket);
    Erase(first++);
  }
  return batch;
}

absl::Duration BatchPlanner::NextExpiry() const {
  absl::Duration next = absl::InfiniteDuration();
  for (const Lane lane : {Lane::kLive, Lane::kRegister}) {
    const auto it = queue_.lower_bound(Key{lane, -absl::InfiniteDuration(), 0});
    if (it != queue_.end() && std::get<0>(it->first) == lane) {
      next = std::min(next, LatestStart(it->second.info));
    }
  }
  return next;
}

absl::Duration BatchPlanner::EstimatedWait() const {
  const int size = cost_.UsefulSize(options_.batch_max);
  const int batches = (waiting() + size - 1) / size;
  return batches * cost_.Estimate(size);
}

}  // namespace hfwa::batching
