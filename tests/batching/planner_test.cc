#include "core/batching/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hfwa::batching {
namespace {

using ::testing::ElementsAre;

constexpr absl::Duration kNow = absl::Seconds(100);

ItemInfo Live(absl::Duration deadline = absl::InfiniteDuration()) { return {.deadline = deadline}; }

TEST(BatchPlannerTest, takes_the_earliest_deadline_first_and_keeps_arrival_order_else) {
  BatchPlanner planner({.batch_max = 4});
  ASSERT_TRUE(planner.Admit(1, Live(), kNow).ok());
  ASSERT_TRUE(planner.Admit(2, Live(kNow + absl::Seconds(9)), kNow).ok());
  ASSERT_TRUE(planner.Admit(3, Live(kNow + absl::Seconds(5)), kNow).ok());
  ASSERT_TRUE(planner.Admit(4, Live(), kNow).ok());
  const auto batch = planner.TakeBatch(kNow);
  ASSERT_TRUE(batch.has_value());
  EXPECT_THAT(batch->tickets, ElementsAre(3, 2, 1, 4));
  EXPECT_EQ(batch->reason, Reason::kFull);
  EXPECT_FALSE(planner.TakeBatch(kNow).has_value());
}

TEST(BatchPlannerTest, bounds_items_and_bytes) {
  BatchPlanner planner({.items_max = 2, .bytes_max = 100});
  EXPECT_TRUE(planner.Admit(1, {.bytes = 60}, kNow).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(planner.Admit(2, {.bytes = 41}, kNow)));
  EXPECT_TRUE(planner.Admit(3, {.bytes = 40}, kNow).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(planner.Admit(4, {.bytes = 0}, kNow)));
  EXPECT_EQ(planner.waiting_bytes(), 100);
  EXPECT_TRUE(planner.Remove(1));
  EXPECT_FALSE(planner.Remove(1));
  EXPECT_EQ(planner.waiting_bytes(), 40);
}

TEST(BatchPlannerTest, refuses_what_cannot_be_done_in_time) {
  BatchPlanner planner({});
  for (int b = 1; b <= 4; ++b) planner.ObserveBatch(b, absl::Milliseconds(10 * b));
  EXPECT_TRUE(absl::IsDeadlineExceeded(planner.Admit(1, Live(kNow + absl::Milliseconds(5)), kNow)));
  EXPECT_TRUE(planner.Admit(2, Live(kNow + absl::Milliseconds(15)), kNow).ok());
  EXPECT_THAT(planner.TakeExpired(kNow + absl::Milliseconds(3)), ElementsAre());
  EXPECT_LE(planner.NextExpiry(), kNow + absl::Milliseconds(4));
  EXPECT_THAT(planner.TakeExpired(kNow + absl::Milliseconds(5)), ElementsAre(2));
  EXPECT_EQ(planner.waiting(), 0);
}

TEST(BatchPlannerTest, a_batch_never_outlasts_its_earliest_deadline) {
  BatchPlanner planner({.batch_max = 8});
  for (int b = 1; b <= 8; ++b) planner.ObserveBatch(b, absl::Milliseconds(20 + b));
  ASSERT_TRUE(planner.Admit(1, Live(kNow + absl::Microseconds(24500)), kNow).ok());
  for (int i = 2; i <= 8; ++i) ASSERT_TRUE(planner.Admit(i, Live(), kNow).ok());
  const auto batch = planner.TakeBatch(kNow);
  EXPECT_THAT(batch->tickets, ElementsAre(1, 2, 3));  // 23 ms and 1 ms margin fit, 24 don't
  EXPECT_EQ(batch->reason, Reason::kDeadline);
}

TEST(BatchPlannerTest, live_goes_first_but_registration_advances) {
  BatchPlanner planner({.batch_max = 1, .items_max = 1000});
  ASSERT_TRUE(planner.Admit(1000, {.lane = Lane::kRegister}, kNow).ok());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(planner.Admit(i, Live(), kNow).ok());
  for (int i = 0; i < kLiveBurstMax; ++i) {
    EXPECT_NE(planner.TakeBatch(kNow)->tickets.front(), 1000u);
  }
  EXPECT_EQ(planner.TakeBatch(kNow)->tickets.front(), 1000u);
}

TEST(BatchPlannerTest, an_item_that_wants_to_be_alone_is) {
  BatchPlanner planner({.batch_max = 4});
  ASSERT_TRUE(planner.Admit(1, Live(), kNow).ok());
  ASSERT_TRUE(planner.Admit(2, {.alone = true}, kNow).ok());
  ASSERT_TRUE(planner.Admit(3, Live(), kNow).ok());
  EXPECT_THAT(planner.TakeBatch(kNow)->tickets, ElementsAre(1, 3));
  EXPECT_THAT(planner.TakeBatch(kNow)->tickets, ElementsAre(2));
}

}  // namespace
}  // namespace hfwa::batching
