#include "core/batching/cost_model.h"

#include <gtest/gtest.h>

namespace hfwa::batching {
namespace {

TEST(CostModelTest, learns_the_line) {
  CostModel model;
  for (int b = 1; b <= 8; ++b) model.Observe(b, absl::Milliseconds(4 + 2 * b));
  EXPECT_NEAR(absl::ToDoubleMilliseconds(model.Estimate(5)), 14, 1e-6);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(model.Estimate(20)), 44, 1e-6);
}

TEST(CostModelTest, estimates_nothing_before_it_saw_a_batch) {
  EXPECT_EQ(CostModel().Estimate(4), absl::ZeroDuration());
  EXPECT_EQ(CostModel().UsefulSize(16), 16);
}

TEST(CostModelTest, follows_a_device_that_slows_down) {
  CostModel model;
  for (int i = 0; i < 50; ++i) model.Observe(1 + i % 4, absl::Milliseconds(10 * (1 + i % 4)));
  for (int i = 0; i < 200; ++i) model.Observe(1 + i % 4, absl::Milliseconds(20 * (1 + i % 4)));
  EXPECT_NEAR(absl::ToDoubleMilliseconds(model.Estimate(3)), 60, 0.5);
}

TEST(CostModelTest, one_size_only_keeps_the_known_fixed_share) {
  CostModel model;
  for (int b = 1; b <= 4; ++b) model.Observe(b, absl::Milliseconds(10 + 10 * b));
  for (int i = 0; i < 500; ++i) model.Observe(1, absl::Milliseconds(20));
  EXPECT_NEAR(absl::ToDoubleMilliseconds(model.Estimate(1)), 20, 0.1);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(model.Estimate(2)), 30, 0.1);
}

absl::Duration OnGpu(int size) { return absl::Milliseconds(2) + size * absl::Microseconds(900); }

TEST(CostModelTest, one_hiccup_says_nothing) {
  CostModel model;
  for (const int size : {1, 2}) model.Observe(size, OnGpu(size));
  model.Observe(32, absl::Milliseconds(400));  // the device prepared itself
  EXPECT_EQ(model.UsefulSize(32), 32);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(model.Estimate(32)), 30.8, 0.1);
}

TEST(CostModelTest, follows_a_device_that_became_five_times_slower) {
  CostModel model;
  for (int i = 0; i < 50; ++i) model.Observe(1 + i % 4, OnGpu(1 + i % 4));
  for (int i = 0; i < 200; ++i) model.Observe(1 + i % 4, 5 * OnGpu(1 + i % 4));
  EXPECT_NEAR(absl::ToDoubleMilliseconds(model.Estimate(3)), 5 * 4.7, 0.5);
}

TEST(CostModelTest, finds_back_to_large_batches_after_slow_ones) {
  CostModel model;
  for (const int size : {1, 2}) model.Observe(size, OnGpu(size));
  for (const int size : {32, 31, 30}) model.Observe(size, absl::Milliseconds(400));
  EXPECT_EQ(model.UsefulSize(32), 1);
  int batches = 0;
  for (; batches < 5000 && model.UsefulSize(32) < 32; ++batches) {
    const int size = model.NextSize(32);
    model.Observe(size, OnGpu(size));
  }
  EXPECT_EQ(model.UsefulSize(32), 32) << "after " << batches << " batches";
}

TEST(CostModelTest, batches_only_where_they_pay) {
  CostModel cpu;  // no fixed cost: nothing to share
  for (int b = 1; b <= 8; ++b) cpu.Observe(b, absl::Milliseconds(50 * b));
  EXPECT_EQ(cpu.UsefulSize(8), 1);
  CostModel gpu;  // a large fixed cost
  for (int b = 1; b <= 32; ++b) gpu.Observe(b, absl::Microseconds(5000 + 100 * b));
  EXPECT_GE(gpu.UsefulSize(32), 16);
}

}  // namespace
}  // namespace hfwa::batching
