#include "core/batching/fair_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace hfwa::batching {
namespace {

using ::testing::ElementsAre;

class FairQueueTest : public ::testing::Test {
 protected:
  FairQueue::Item Push(uint64_t product, absl::Duration deadline = absl::InfiniteDuration()) {
    const FairQueue::Item item{.deadline = deadline,
                               .arrival = arrivals_,
                               .ticket = arrivals_,
                               .product = product,
                               .alone = false};
    queue_.Push(item);
    ++arrivals_;
    return item;
  }
  std::vector<uint64_t> PopProducts(int count) {
    std::vector<uint64_t> products;
    for (int i = 0; i < count; ++i) products.push_back(queue_.Pop().product);
    return products;
  }

  uint64_t arrivals_ = 0;
  FairQueue queue_{{.credit = 2}};
};

TEST_F(FairQueueTest, one_product_goes_by_deadline_then_arrival) {
  const auto last = Push(1);
  const auto second = Push(1, absl::Seconds(9));
  const auto first = Push(1, absl::Seconds(5));
  EXPECT_EQ(queue_.Pop().ticket, first.ticket);
  EXPECT_EQ(queue_.Pop().ticket, second.ticket);
  EXPECT_EQ(queue_.Pop().ticket, last.ticket);
}

TEST_F(FairQueueTest, beyond_its_credit_a_product_gets_its_share_though_it_came_first) {
  for (int i = 0; i < 7; ++i) Push(1);
  for (int i = 0; i < 3; ++i) Push(2);
  EXPECT_THAT(PopProducts(10), ElementsAre(1, 1, 1, 2, 1, 2, 1, 2, 1, 1));
}

TEST_F(FairQueueTest, deadlines_decide_between_products_within_their_share) {
  for (int i = 0; i < 6; ++i) Push(1, absl::Seconds(5));
  Push(2, absl::Seconds(9));
  Push(3, absl::Seconds(1));
  EXPECT_THAT(PopProducts(8), ElementsAre(3, 1, 1, 2, 1, 1, 1, 1));
}

TEST_F(FairQueueTest, a_short_rest_is_no_way_out) {
  Push(2, absl::Seconds(99));
  for (int i = 0; i < 2; ++i) Push(1, absl::Seconds(1));
  EXPECT_THAT(PopProducts(2), ElementsAre(1, 1));  // its credit, and it has nothing more
  Push(1, absl::Seconds(1));
  Push(1, absl::Seconds(1));
  EXPECT_THAT(PopProducts(3), ElementsAre(1, 2, 1));  // it earned one token meanwhile
  // Nobody waited: all is forgiven.
  Push(2, absl::Seconds(99));
  for (int i = 0; i < 2; ++i) Push(1, absl::Seconds(1));
  EXPECT_THAT(PopProducts(3), ElementsAre(1, 1, 2));
}

TEST_F(FairQueueTest, counts_what_goes_before) {
  for (int i = 0; i < 6; ++i) Push(1, absl::Seconds(1));
  for (int i = 0; i < 2; ++i) Push(2, absl::Seconds(9));
  // Product 1 has two tokens and earns some until a third one's turn; two items of it must wait.
  EXPECT_EQ(queue_.CountBefore(3, absl::Seconds(10)), 8);
  EXPECT_EQ(queue_.CountBefore(3, absl::Seconds(5)), 5);
  EXPECT_EQ(queue_.CountBefore(3, absl::Milliseconds(500)), 0);
  // It would need five tokens more, of which each of the two gets one in two items.
  EXPECT_EQ(queue_.CountBefore(1, absl::Seconds(2)), 10);
  EXPECT_EQ(queue_.MostBefore(1), 10);
  EXPECT_EQ(queue_.MostBefore(3), 8);
}

TEST_F(FairQueueTest, none_is_passed_over_for_long_whatever_comes_and_goes) {
  constexpr uint64_t kProducts = 6;
  std::mt19937 random(7);
  std::map<uint64_t, FairQueue::Item> waiting;
  std::map<uint64_t, int> held;
  std::map<uint64_t, int> passed;  // items served while this product waited
  for (int step = 0; step < 50000; ++step) {
    if (random() % 20 < 11) {
      const uint64_t product =
          std::min<uint64_t>(random() % 12, kProducts - 1);  // one asks for more
      const auto deadline = product == 0
                                ? absl::InfiniteDuration()
                                : absl::Milliseconds(step + static_cast<int>(random() % 50));
      const FairQueue::Item item = Push(product, deadline);
      waiting[item.ticket] = item;
      if (held[product]++ == 0) passed[product] = 0;
    } else if (random() % 8 == 0 && !waiting.empty()) {
      const auto it = waiting.begin();
      queue_.Remove(it->second);
      --held[it->second.product];
      waiting.erase(it);
    } else if (!queue_.empty()) {
      const FairQueue::Item item = queue_.Pop();
      ASSERT_EQ(waiting.erase(item.ticket), 1u);
      --held[item.product];
      passed[item.product] = 0;
      // Until it has a token, and until the others' are spent, of which each item leaves fewer.
      constexpr int kMost = kProducts + kProducts * kProducts * 2;
      for (const auto& [other, count] : held) {
        if (count == 0 || other == item.product) continue;
        ASSERT_LE(++passed[other], kMost) << "product " << other << " is passed over";
      }
    }
    ASSERT_EQ(queue_.size(), static_cast<int>(waiting.size()));
  }
}

}  // namespace
}  // namespace hfwa::batching
