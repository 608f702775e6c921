#include "lab/metrics/score_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hfwa::lab {
namespace {

using testing::ElementsAre;

TEST(RankScoresTest, takes_equal_scores_as_one_threshold) {
  const Ranking got = RankScores({3, 2, 2, 1}, {1, 0, 1, 0});
  EXPECT_DOUBLE_EQ(got.auroc.value, 3.5 / 4);
  EXPECT_DOUBLE_EQ(got.ap.value, 0.5 * 1 + 0.5 * 2 / 3);
  EXPECT_DOUBLE_EQ(got.f1_max.value, 0.8);  // all that score 2 and more
  EXPECT_DOUBLE_EQ(got.f1_threshold, 2);
  EXPECT_EQ(got.aupro.undefined, "no region");
}

TEST(RankScoresTest, says_which_label_is_missing) {
  EXPECT_EQ(RankScores({1, 2}, {0, 0}).auroc.undefined, "nothing anomalous");
  EXPECT_EQ(RankScores({1, 2}, {0, 0}).f1_max.undefined, "nothing anomalous");
  EXPECT_EQ(RankScores({1, 2}, {1, 1}).auroc.undefined, "nothing normal");
  EXPECT_DOUBLE_EQ(RankScores({1, 2}, {1, 1}).f1_max.value, 1);
  EXPECT_FALSE(RankScores({}, {}).auroc.defined());
}

TEST(ScaleOverSetTest, takes_the_maximum_alone_where_there_is_no_language) {
  EXPECT_THAT(ScaleOverSet({1, 3, 2}, {}).scores, ElementsAre(0, 1, 0.5));
  EXPECT_THAT(ScaleOverSet({1, 3, 2}, {0.5F, 0.5F, 1}).scores, ElementsAre(0.25, 0.75, 0.75));
}

TEST(ScaleOverSetTest, counts_maps_of_one_maximum_as_zero_and_says_so) {
  const SetScores scores = ScaleOverSet({2, 2}, {0.5F, 1});
  EXPECT_TRUE(scores.flat);
  EXPECT_THAT(scores.scores, ElementsAre(0.25, 0.5));
  EXPECT_TRUE(ScaleOverSet({2}, {}).flat);
}

}  // namespace
}  // namespace hfwa::lab
