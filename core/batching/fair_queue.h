#pragma once

// The order within one lane: earliest deadline first, as long as no product gets ahead of its
// share. Pure, like the planner. Not thread-safe.

#include <cstdint>
#include <tuple>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"

namespace hfwa::batching {

struct FairQueueOptions {
  // How many items a product may be ahead of its share before it yields to those within theirs.
  int credit = 8;
};

// Earliest deadline first, without deadlines first come first served, but products within their
// share go before those beyond it. Each item served gives every product of late an equal part of a
// token, an item costs its product one, and who has one to pay with is within its share. A product
// that comes has `credit` tokens; when nobody waits, all have. So as long as the device keeps up
// nothing but deadlines and arrivals decide, and when it does not, a product that asks for more
// than its share gets what the others leave. Every product that waits earns, so none starves.
// Push, Remove and Pop take O(log n), amortised.
class FairQueue {
 public:
  struct Item {
    absl::Duration deadline;
    uint64_t arrival;  // unique; equal deadlines of a product keep this order
    uint64_t ticket;
    uint64_t product;
    bool alone;

    friend bool operator<(const Item& a, const Item& b) {
      return std::tie(a.deadline, a.arrival) < std::tie(b.deadline, b.arrival);
    }
  };

  explicit FairQueue(const FairQueueOptions& options) : credit_(options.credit * kToken) {}

  void Push(const Item& item);
  // `item` waits here; only deadline, arrival and product are looked at.
  void Remove(const Item& item);
  // The queue is not empty.
  const Item& Front() const;
  Item Pop();

  // How many items are likely to go before one of `product` with `deadline`: those that wait, and
  // where the product is beyond its share, what others will send until its turn. Takes O(products +
  // items with an earlier deadline).
  int CountBefore(uint64_t product, absl::Duration deadline) const;
  // The same for the latest of deadlines; never less. Takes O(1).
  int MostBefore(uint64_t product) const;

  int size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  struct Flow {
    int64_t spent = 0;  // its tokens are earned_ - spent, in parts
    absl::btree_set<Item> items;
  };
  using BySpent = std::pair<int64_t, uint64_t>;  // and product
  // Beyond its share, first deadline, its arrival, product.
  using Order = std::tuple<bool, absl::Duration, uint64_t, uint64_t>;

  Order OrderOf(uint64_t product, const Flow& flow) const;
  // Take a product that has items out of the order, and put it back when it has changed.
  void Unlink(uint64_t product, const Flow& flow);
  void Link(uint64_t product, const Flow& flow);
  void Settle(uint64_t product, Flow& flow);
  // Gives every product its part of a token.
  void Earn();
  int64_t SpentBy(uint64_t product) const;
  // How many items are served until every product has earned that much.
  int64_t ServedUntil(int64_t earned) const;

  static constexpr int64_t kToken = 1 << 20;  // its parts: sums stay exact

  const int64_t credit_;
  int64_t earned_ = 0;  // by each product since the beginning
  int size_ = 0;
  absl::flat_hash_map<uint64_t, Flow> flows_;  // those of late: with items, or less than the credit
  absl::btree_set<Order> next_;                // of products that have items
  absl::btree_set<BySpent> waiting_;           // the same
  absl::btree_set<BySpent> resting_;           // the others
};

}  // namespace hfwa::batching
