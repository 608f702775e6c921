#include "core/batching/shared_room.h"

#include <gtest/gtest.h>

namespace hfwa::batching {
namespace {

const SharedRoom::Holder kHog{0, 1}, kOther{0, 2};

int TakeAll(SharedRoom& room, SharedRoom::Holder holder, int64_t bytes, double part = 1) {
  int taken = 0;
  while (room.Take(holder, bytes, part).ok()) ++taken;
  return taken;
}

TEST(SharedRoomTest, one_holder_gets_four_fifths_and_the_next_four_fifths_of_the_rest) {
  SharedRoom room(100, 1 << 30);
  EXPECT_EQ(TakeAll(room, kHog, 1), 80);
  EXPECT_EQ(TakeAll(room, kOther, 1), 16);
  EXPECT_EQ(room.items(), 96);
}

TEST(SharedRoomTest, bytes_bound_a_holder_and_all_alike) {
  SharedRoom room(1000, 100);
  EXPECT_TRUE(absl::IsResourceExhausted(room.Take(kHog, 101)));
  const int hog = TakeAll(room, kHog, 10);
  EXPECT_LT(hog, 10) << "one alone filled the room";
  EXPECT_TRUE(room.Take(kOther, 10).ok());
  EXPECT_LE(room.bytes(), 100);
}

TEST(SharedRoomTest, what_can_wait_leaves_the_last_part) {
  SharedRoom room(100, 1 << 30);
  int64_t taken = 0;
  for (uint64_t product = 0; product < 100; ++product)
    taken += TakeAll(room, {1, product}, 1, 0.75);
  EXPECT_EQ(taken, 75);
  EXPECT_TRUE(room.Take(kHog, 1).ok());
}

TEST(SharedRoomTest, what_is_given_back_is_free_again) {
  SharedRoom room(10, 100);
  for (int round = 0; round < 3; ++round) {
    const int taken = TakeAll(room, kHog, 1);
    EXPECT_EQ(taken, 8);
    for (int i = 0; i < taken; ++i) room.Give(kHog, 1);
    EXPECT_EQ(room.items(), 0);
    EXPECT_EQ(room.bytes(), 0);
  }
}

}  // namespace
}  // namespace hfwa::batching
