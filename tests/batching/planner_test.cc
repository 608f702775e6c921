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

TEST(BatchPlannerTest, lanes_share_the_device_by_weight) {
  BatchPlanner planner({.batch_max = 1, .items_max = 1000, .lane_weights = {16, 4, 2}});
  for (int i = 0; i < 100; ++i) {
    for (const Lane lane : {Lane::kLive, Lane::kBulk, Lane::kRegister}) {
      const auto ticket = static_cast<uint64_t>(10 * i) + static_cast<uint64_t>(lane);
      ASSERT_TRUE(planner.Admit(ticket, {.lane = lane}, kNow).ok());
    }
  }
  std::array<int, kLanes> batches = {};
  for (int i = 0; i < 110; ++i) {
    ++batches[static_cast<size_t>(planner.TakeBatch(kNow)->lane)];
    planner.EndBatch(absl::Milliseconds(10));
  }
  EXPECT_THAT(batches, ElementsAre(80, 20, 10));
}

TEST(BatchPlannerTest, a_lane_that_others_left_idle_takes_the_whole_device) {
  BatchPlanner planner({.batch_max = 1});
  for (uint64_t i = 0; i < 50; ++i) {
    ASSERT_TRUE(planner.Admit(i, {.lane = Lane::kRegister}, kNow).ok());
  }
  for (uint64_t i = 0; i < 40; ++i) EXPECT_THAT(planner.TakeBatch(kNow)->tickets, ElementsAre(i));
  // What it used then is not held against it, nor what live did not use then in live's favour.
  for (uint64_t i = 100; i < 120; ++i) ASSERT_TRUE(planner.Admit(i, Live(), kNow).ok());
  int registrations = 0;
  for (int i = 0; i < 20; ++i) {
    registrations += planner.TakeBatch(kNow)->lane == Lane::kRegister ? 1 : 0;
  }
  EXPECT_GE(registrations, 1);
  EXPECT_LE(registrations, 3);
}

TEST(BatchPlannerTest, a_task_pays_for_the_time_it_took) {
  BatchPlanner planner({.batch_max = 1, .lane_weights = {1, 1, 1}});
  for (uint64_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(planner.Admit(i, {.lane = Lane::kRegister, .alone = true}, kNow).ok());
    ASSERT_TRUE(planner.Admit(10 + i, Live(), kNow).ok());
  }
  EXPECT_THAT(planner.TakeBatch(kNow)->tickets, ElementsAre(10));
  planner.EndBatch(absl::Milliseconds(10));
  EXPECT_THAT(planner.TakeBatch(kNow)->tickets, ElementsAre(0));
  planner.EndBatch(absl::Milliseconds(30));
  for (uint64_t i = 11; i < 13; ++i) {
    EXPECT_THAT(planner.TakeBatch(kNow)->tickets, ElementsAre(i));
    planner.EndBatch(absl::Milliseconds(10));
  }
}

TEST(BatchPlannerTest, an_item_that_wants_to_be_alone_is) {
  BatchPlanner planner({.batch_max = 4});
  ASSERT_TRUE(planner.Admit(1, Live(), kNow).ok());
  ASSERT_TRUE(planner.Admit(2, {.alone = true}, kNow).ok());
  ASSERT_TRUE(planner.Admit(3, Live(), kNow).ok());
  EXPECT_THAT(planner.TakeBatch(kNow)->tickets, ElementsAre(1));
  EXPECT_THAT(planner.TakeBatch(kNow)->tickets, ElementsAre(2));
  EXPECT_THAT(planner.TakeBatch(kNow)->tickets, ElementsAre(3));
}

TEST(BatchPlannerTest, refuses_at_once_what_the_queue_leaves_no_time_for) {
  BatchPlanner planner({.batch_max = 4, .lane_weights = {16, 4, 4}});
  for (int b = 1; b <= 4; ++b) planner.ObserveBatch(b, absl::Milliseconds(60 + 10 * b));
  for (uint64_t i = 0; i < 8; ++i) {  // two batches of 100 ms
    ASSERT_TRUE(planner.Admit(i, Live(kNow + absl::Seconds(1)), kNow).ok());
  }
  EXPECT_EQ(planner.EstimatedWait(Lane::kLive, kNow), absl::Milliseconds(200));
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      planner.Admit(20, {.deadline = kNow + absl::Milliseconds(60)}, kNow)));
  // An earlier deadline goes before them, so the queue is no hindrance.
  EXPECT_TRUE(planner.Admit(21, Live(kNow + absl::Milliseconds(110)), kNow).ok());
  ASSERT_TRUE(planner.TakeBatch(kNow).has_value());  // the device is taken for 100 ms
  const absl::Duration later = kNow + absl::Milliseconds(10);
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(planner.Admit(22, Live(later + absl::Milliseconds(150)), later)));
  EXPECT_TRUE(planner.Admit(23, Live(later + absl::Milliseconds(170)), later).ok());
  // Another lane, which has used less of its share, goes before the rest of this one.
  EXPECT_EQ(planner.EstimatedWait(Lane::kBulk, later), absl::Milliseconds(90));
}

TEST(BatchPlannerTest, without_deadline_no_more_is_admitted_than_is_soon_done) {
  BatchPlanner planner({.batch_max = 4, .unhurried_wait_max = absl::Milliseconds(300)});
  for (int b = 1; b <= 4; ++b) planner.ObserveBatch(b, absl::Milliseconds(60 + 10 * b));
  uint64_t ticket = 0;
  while (planner.Admit(ticket, Live(), kNow).ok()) ++ticket;
  EXPECT_EQ(ticket, 12u);  // three batches of 100 ms
  EXPECT_TRUE(planner.Admit(100, Live(kNow + absl::Seconds(5)), kNow).ok());
  EXPECT_TRUE(planner.Admit(101, {.lane = Lane::kRegister}, kNow).ok());
  // A caller who goes away makes room, a batch does when it is done.
  EXPECT_TRUE(planner.Remove(0));
  EXPECT_TRUE(planner.Admit(102, Live(), kNow).ok());
  ASSERT_EQ(planner.TakeBatch(kNow)->tickets.size(), 4u);  // three of them without deadline
  EXPECT_TRUE(absl::IsResourceExhausted(planner.Admit(103, Live(), kNow)));
  planner.EndBatch(absl::Milliseconds(100));
  EXPECT_TRUE(planner.Admit(104, Live(), kNow).ok());
}

TEST(BatchPlannerTest, no_product_fills_the_queue_up) {
  BatchPlanner planner({.items_max = 100});
  uint64_t ticket = 0;
  while (planner.Admit(ticket, {.product = 1}, kNow).ok()) ++ticket;
  EXPECT_EQ(planner.waiting(), 80);
  const absl::Status refused = planner.Admit(ticket, {.product = 1}, kNow);
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_TRUE(planner.Admit(++ticket, {.product = 2}, kNow).ok());
  // What can wait leaves the last quarter to live items.
  EXPECT_TRUE(absl::IsResourceExhausted(
      planner.Admit(++ticket, {.lane = Lane::kBulk, .product = 3}, kNow)));
}

TEST(BatchPlannerTest, what_is_coming_counts_before_it_is_there) {
  BatchPlanner planner({.batch_max = 1, .unhurried_wait_max = absl::Milliseconds(100)});
  for (int i = 0; i < 20; ++i) planner.ObserveBatch(1, absl::Milliseconds(10));
  const ItemInfo hurried{.deadline = absl::Milliseconds(60)};
  EXPECT_TRUE(planner.WouldAdmit(hurried, 3, absl::ZeroDuration()).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(planner.WouldAdmit(hurried, 6, absl::ZeroDuration())));
  EXPECT_TRUE(planner.WouldAdmit({}, 5, absl::ZeroDuration()).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(planner.WouldAdmit({}, 20, absl::ZeroDuration())));
  EXPECT_EQ(planner.waiting(), 0);
}

TEST(BatchPlannerTest, a_promise_is_kept_where_only_the_margin_is_used_up) {
  BatchPlanner planner({.batch_max = 1, .reply_margin = absl::ZeroDuration()});
  for (int i = 0; i < 50; ++i) planner.ObserveBatch(1, absl::Milliseconds(i % 2 == 0 ? 8 : 12));
  ItemInfo info{.deadline = absl::Milliseconds(12)};
  EXPECT_TRUE(absl::IsDeadlineExceeded(planner.Admit(1, info, absl::ZeroDuration())));
  info.promised = true;
  EXPECT_TRUE(planner.Admit(1, info, absl::ZeroDuration()).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(planner.Admit(2, info, absl::ZeroDuration())))
      << "one after the other takes too long";
}

TEST(BatchPlannerTest, lanes_are_counted_apart) {
  BatchPlanner planner({});
  ASSERT_TRUE(planner.Admit(1, {.bytes = 5}, absl::ZeroDuration()).ok());
  ASSERT_TRUE(planner.Admit(2, {.lane = Lane::kBulk, .bytes = 7}, absl::ZeroDuration()).ok());
  EXPECT_EQ(planner.waiting(Lane::kLive), 1);
  EXPECT_EQ(planner.waiting_bytes(Lane::kBulk), 7);
  EXPECT_TRUE(planner.Remove(2));
  EXPECT_EQ(planner.waiting(Lane::kBulk), 0);
  EXPECT_EQ(planner.waiting_bytes(Lane::kBulk), 0);
  EXPECT_EQ(planner.waiting_bytes(Lane::kLive), 5);
}

}  // namespace
}  // namespace hfwa::batching
