#include "core/batching/fair_queue.h"

#include <algorithm>
#include <cmath>

#include "absl/container/inlined_vector.h"

namespace hfwa::batching {

FairQueue::Order FairQueue::OrderOf(uint64_t product, const Flow& flow) const {
  const Item& first = *flow.items.begin();
  return {flow.spent + kToken > earned_, first.deadline, first.arrival, product};
}

void FairQueue::Unlink(uint64_t product, const Flow& flow) {
  next_.erase(OrderOf(product, flow));
  waiting_.erase({flow.spent, product});
}

void FairQueue::Link(uint64_t product, const Flow& flow) {
  next_.insert(OrderOf(product, flow));
  waiting_.insert({flow.spent, product});
}

void FairQueue::Settle(uint64_t product, Flow& flow) {
  if (!flow.items.empty()) {
    Link(product, flow);
  } else if (size_ > 0) {
    resting_.insert({flow.spent, product});
  } else {  // nobody waits: all have their full credit
    flows_.clear();
    resting_.clear();
  }
}

void FairQueue::Earn() {
  if (flows_.empty()) return;
  const int64_t earned = earned_ + kToken / static_cast<int64_t>(flows_.size());
  // Those who get the token that was missing change their place.
  const auto begin = waiting_.upper_bound({earned_ - kToken, UINT64_MAX});
  const auto end = waiting_.upper_bound({earned - kToken, UINT64_MAX});
  for (auto it = begin; it != end; ++it) next_.erase(OrderOf(it->second, flows_.at(it->second)));
  earned_ = earned;
  for (auto it = begin; it != end; ++it) next_.insert(OrderOf(it->second, flows_.at(it->second)));
  while (!resting_.empty() && resting_.begin()->first <= earned_ - credit_) {
    flows_.erase(resting_.begin()->second);
    resting_.erase(resting_.begin());
  }
}

void FairQueue::Push(const Item& item) {
  const auto [found, unknown] = flows_.try_emplace(item.product);
  Flow& flow = found->second;
  ++size_;
  if (unknown) {
    flow.spent = earned_ - credit_;
  } else if (flow.items.empty()) {
    resting_.erase({flow.spent, item.product});
  } else if (*flow.items.begin() < item) {  // the product's place does not change
    flow.items.insert(flow.items.end(), item);
    return;
  } else {
    Unlink(item.product, flow);
  }
  flow.items.insert(item);
  Link(item.product, flow);
}

void FairQueue::Remove(const Item& item) {
  Flow& flow = flows_.at(item.product);
  Unlink(item.product, flow);
  flow.items.erase(item);
  --size_;
  Settle(item.product, flow);
}

const FairQueue::Item& FairQueue::Front() const {
  return *flows_.at(std::get<3>(*next_.begin())).items.begin();
}

FairQueue::Item FairQueue::Pop() {
  const uint64_t product = std::get<3>(*next_.begin());
  Flow& flow = flows_.at(product);
  Unlink(product, flow);
  const Item item = *flow.items.begin();
  flow.items.erase(flow.items.begin());
  --size_;
  // What others left is no debt for ever: it is forgotten beyond the credit.
  flow.spent = std::min(flow.spent + kToken, std::max(flow.spent, earned_ + credit_));
  Settle(product, flow);
  Earn();
  return item;
}

int64_t FairQueue::SpentBy(uint64_t product) const {
  const auto found = flows_.find(product);
  return found == flows_.end() ? earned_ - credit_ : found->second.spent;
}

int64_t FairQueue::ServedUntil(int64_t earned) const {
  if (earned <= earned_) return 0;
  const auto products = static_cast<int64_t>(flows_.size());
  return ((earned - earned_) * products + kToken - 1) / kToken;
}

int FairQueue::CountBefore(uint64_t product, absl::Duration deadline) const {
  absl::InlinedVector<std::pair<int64_t, int64_t>, 16> others;  // spent, earlier items
  int64_t all = 0;
  int64_t own = 0;
  for (const auto& [spent, other] : waiting_) {
    int64_t earlier = 0;
    for (const Item& item : flows_.at(other).items) {
      if (item.deadline > deadline) break;
      ++earlier;
    }
    if (other == product) own = earlier;
    all += earlier;
    others.emplace_back(spent, earlier);
  }
  const int64_t turn = SpentBy(product) + (own + 1) * kToken;
  if (turn > earned_) return static_cast<int>(std::max(all, ServedUntil(turn)));
  // Of the others what they have tokens for, with those they earn meanwhile.
  const int64_t earned =
      flows_.empty() ? earned_ : earned_ + all * kToken / static_cast<int64_t>(flows_.size());
  int64_t before = 0;
  for (const auto& [spent, earlier] : others)
    before += std::clamp<int64_t>((earned - spent + kToken - 1) / kToken, 0, earlier);
  return static_cast<int>(before);
}

int FairQueue::MostBefore(uint64_t product) const {
  const auto found = flows_.find(product);
  if (found == flows_.end()) return size_;
  const auto own = static_cast<int64_t>(found->second.items.size());
  const int64_t turn = found->second.spent + (own + 1) * kToken;
  return static_cast<int>(std::max<int64_t>(size_, ServedUntil(turn)));
}

}  // namespace hfwa::batching
