#include "core/batching/concurrency_limit.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace hfwa::batching {
namespace {

// A device whose speed changes, under the planner's use of the limit.
class ConcurrencyLimitTest : public ::testing::TestWithParam<int> {
 protected:
  void Run(int completions, double slowness) {
    while (completions > 0) {
      const int size = GetParam();
      const double noise = 0.95 + 0.1 * static_cast<double>(random_() % 1000) / 1000;
      const absl::Duration took = slowness * noise * absl::Milliseconds(4 + size);
      const absl::Duration before = cost_.Estimate(size);
      cost_.Observe(size, took);
      limit_.Completed(size, took, before, cost_.Estimate(size));
      completions -= size;
    }
  }
  int limit() const { return limit_.Limit(cost_, 8); }

  std::mt19937 random_{1};
  CostModel cost_;
  ConcurrencyLimit limit_{absl::Milliseconds(120)};  // ten full batches at full speed
};

TEST_P(ConcurrencyLimitTest, finds_the_capacity_again_within_30_completions) {
  for (int b = 1; b <= 8; ++b) cost_.Observe(b, absl::Milliseconds(4 + b));
  Run(1000, 1);
  EXPECT_NEAR(limit(), 80, 8);
  Run(30, 2);
  EXPECT_NEAR(limit(), 40, 4);
  for (int i = 0; i < 30; ++i) {  // and keeps it while the cost model follows
    Run(GetParam(), 2);
    EXPECT_NEAR(limit(), 40, 6);
  }
  Run(1000, 2);
  Run(30, 1);
  EXPECT_NEAR(limit(), 80, 8);
}

INSTANTIATE_TEST_SUITE_P(BatchSizes, ConcurrencyLimitTest, ::testing::Values(1, 4, 8));

TEST(ConcurrencyLimitBoundsTest, never_lets_the_device_idle_and_guesses_nothing) {
  CostModel cost;
  ConcurrencyLimit limit(absl::Milliseconds(10));
  EXPECT_EQ(limit.Limit(cost, 8), std::numeric_limits<int>::max());
  for (int b = 1; b <= 8; ++b) cost.Observe(b, absl::Milliseconds(100 + 100 * b));
  EXPECT_EQ(limit.Limit(cost, 8), 2 * 8);
  EXPECT_EQ(ConcurrencyLimit(absl::InfiniteDuration()).Limit(cost, 8),
            std::numeric_limits<int>::max());
}

}  // namespace
}  // namespace hfwa::batching
