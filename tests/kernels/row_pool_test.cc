#include "core/kernels/cuda/row_pool.h"

#include <map>
#include <random>
#include <thread>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/kernels/cuda/arena.h"

namespace hfwa::kernels::cuda {
namespace {

// Against a plain list of what is taken, after each of many random steps.
TEST(ArenaTest, places_never_overlap_and_nothing_is_lost) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    const int64_t capacity = 256 * static_cast<int64_t>(1 + random() % 400);
    Arena arena(capacity + random() % 256);  // a rest that no place fits into
    ASSERT_EQ(arena.capacity(), capacity);
    std::map<int64_t, int64_t> taken;  // offset to bytes asked for
    for (int step = 0; step < 3000; ++step) {
      if (taken.empty() || random() % 5 < 3) {
        const int64_t bytes = random() % (random() % 8 == 0 ? capacity : 4000);
        const int64_t before = arena.largest_free();
        const auto place = arena.Take(bytes);
        ASSERT_EQ(place.has_value(), Arena::Rounded(bytes) <= before) << "seed " << seed;
        if (place && !taken.emplace(*place, bytes).second) FAIL() << "taken twice";
      } else {
        auto it = std::next(taken.begin(), random() % taken.size());
        arena.Give(it->first, it->second);
        taken.erase(it);
      }
      int64_t end = 0, sum = 0, largest = 0;
      for (const auto& [offset, bytes] : taken) {
        ASSERT_EQ(offset % Arena::kAlignment, 0);
        ASSERT_GE(offset, end) << "seed " << seed << " step " << step;
        largest = std::max(largest, offset - end);
        end = offset + Arena::Rounded(bytes);
        sum += Arena::Rounded(bytes);
      }
      ASSERT_LE(end, capacity);
      ASSERT_EQ(arena.taken(), sum);
      // Neighbouring gaps are one gap.
      ASSERT_EQ(arena.largest_free(), std::max(largest, capacity - end));
    }
  }
}

TEST(RowPoolTest, banks_share_slabs_and_give_their_places_back) {
  const auto pool = std::make_shared<RowPool>(at::kCPU, 1 << 16);
  RowPool::Rows first = pool->Take(100, 64);
  first.values.fill_(1);
  {
    const RowPool::Rows second = pool->Take(100, 64);
    second.values.fill_(2);
    EXPECT_EQ(pool->slabs(), 1);
    const RowPool::Rows large = pool->Take(10000, 64);  // more than a slab: one of its own
    large.values.fill_(3);
    EXPECT_EQ(pool->slabs(), 2);
    EXPECT_TRUE(first.values.eq(1).all().item<bool>());
    EXPECT_TRUE(second.values.eq(2).all().item<bool>());
  }
  EXPECT_EQ(pool->slabs(), 1);
  EXPECT_EQ(pool->taken(), Arena::Rounded(100 * 64 * 2));
  first = {};
  EXPECT_EQ(pool->taken(), 0);
  EXPECT_EQ(pool->slabs(), 1) << "the last slab is kept";
}

TEST(RowPoolTest, threads_may_take_and_give_at_once) {
  const auto pool = std::make_shared<RowPool>(at::kCPU, 1 << 16);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t] {
      std::mt19937 random(static_cast<uint32_t>(t));
      for (int i = 0; i < 200; ++i) {
        const RowPool::Rows rows = pool->Take(1 + random() % 50, 8 * (1 + random() % 8));
        rows.values.fill_(t);
        ASSERT_TRUE(rows.values.eq(t).all().item<bool>());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool->taken(), 0);
}

}  // namespace
}  // namespace hfwa::kernels::cuda
