#include "lab/train/schedule.h"

#include <gtest/gtest.h>

namespace hfwa::lab::train {
namespace {

TEST(Schedule, plateau_cuts_to_a_tenth_after_more_than_five_epochs_without_progress) {
  Schedule schedule({}, 100);
  schedule.EndEpoch(1.0);
  for (int i = 0; i < 5; ++i) schedule.EndEpoch(1.0 - 0.5e-4);  // less than the threshold
  EXPECT_EQ(schedule.LearningRate(7), 1e-3);
  schedule.EndEpoch(1.0);
  EXPECT_DOUBLE_EQ(schedule.LearningRate(7), 1e-4);
  for (int i = 0; i < 5; ++i) schedule.EndEpoch(1.0);
  EXPECT_DOUBLE_EQ(schedule.LearningRate(7), 1e-4);
  schedule.EndEpoch(1.0);
  EXPECT_DOUBLE_EQ(schedule.LearningRate(7), 1e-5);
}

TEST(Schedule, progress_starts_the_count_again) {
  Schedule schedule({}, 100);
  schedule.EndEpoch(1.0);
  for (int i = 0; i < 5; ++i) schedule.EndEpoch(1.0);
  schedule.EndEpoch(0.9);
  for (int i = 0; i < 5; ++i) schedule.EndEpoch(0.95);
  EXPECT_EQ(schedule.LearningRate(0), 1e-3);
}

TEST(Schedule, a_restored_one_goes_on_where_it_was) {
  Schedule schedule({}, 100);
  for (int i = 0; i < 6; ++i) schedule.EndEpoch(1.0);
  Schedule restored({}, 100);
  restored.Restore(schedule.State());
  restored.EndEpoch(1.0);
  EXPECT_DOUBLE_EQ(restored.LearningRate(0), 1e-4);
}

TEST(Schedule, cosine_and_linear_fall_to_zero_after_the_warmup) {
  ScheduleOptions options;
  options.learning_rate = 1;
  options.warmup_steps = 4;
  options.kind = ScheduleOptions::Kind::kCosine;
  const Schedule cosine(options, 14);
  EXPECT_DOUBLE_EQ(cosine.LearningRate(0), 0.2);
  EXPECT_DOUBLE_EQ(cosine.LearningRate(3), 0.8);
  EXPECT_DOUBLE_EQ(cosine.LearningRate(4), 1.0);
  EXPECT_NEAR(cosine.LearningRate(9), 0.5, 1e-12);
  EXPECT_NEAR(cosine.LearningRate(14), 0.0, 1e-12);
  options.kind = ScheduleOptions::Kind::kLinear;
  EXPECT_DOUBLE_EQ(Schedule(options, 14).LearningRate(9), 0.5);
  options.kind = ScheduleOptions::Kind::kConstant;
  EXPECT_DOUBLE_EQ(Schedule(options, 14).LearningRate(13), 1.0);
}

TEST(EarlyStop, stops_after_its_patience_and_knows_the_best_epoch) {
  EarlyStop stop(2);
  EXPECT_TRUE(stop.EndEpoch(0, 3.0));
  EXPECT_TRUE(stop.EndEpoch(1, 2.0));
  EXPECT_FALSE(stop.EndEpoch(2, 2.0));
  EXPECT_FALSE(stop.stopped());
  EarlyStop restored(2);
  restored.Restore(stop.State());
  EXPECT_FALSE(restored.EndEpoch(3, 2.5));
  EXPECT_TRUE(restored.stopped());
  EXPECT_EQ(restored.best_epoch(), 1);
}

TEST(EarlyStop, zero_patience_never_stops) {
  EarlyStop stop(0);
  for (int i = 0; i < 50; ++i) stop.EndEpoch(i, 1.0);
  EXPECT_FALSE(stop.stopped());
}

}  // namespace
}  // namespace hfwa::lab::train
