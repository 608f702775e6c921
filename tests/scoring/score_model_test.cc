#include "core/scoring/score_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace hfwa::scoring {
namespace {

TEST(JudgedReferences, are_all_or_sixteen_spread_over_all) {
  EXPECT_EQ(JudgedReferences(3), (std::vector<int>{0, 1, 2}));
  const std::vector<int> many = JudgedReferences(40);
  ASSERT_EQ(many.size(), 16U);
  EXPECT_EQ(many.front(), 0);
  EXPECT_EQ(many[1], 2);
  EXPECT_EQ(many.back(), 37);
}

ReferenceRaw Visual(double m) {
  return {.raw = {.text_probability = {}, .map_max = m}, .map_mean = m / 2};
}
ReferenceRaw Both(double t, double m) {
  return {.raw = {.text_probability = t, .map_max = m}, .map_mean = m / 2};
}

TEST(ScoreModelTest, zero_shot_is_the_language_probability_without_threshold) {
  const ScoreModel model = ScoreModel::ZeroShot(4);
  EXPECT_DOUBLE_EQ(model.Score({.text_probability = 0.3, .map_max = 2.2}), 0.3);
  EXPECT_FALSE(model.threshold().has_value());
}

TEST(ScoreModelTest, references_lie_on_the_good_side) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<ReferenceRaw> references;
    const int count = 1 + static_cast<int>(random() % 16);
    const bool language = random() % 2 == 0;
    for (int i = 0; i < count; ++i) {
      const double m = 0.2 + 1e-3 * (random() % 1000);
      references.push_back(language ? Both(1e-3 * (random() % 1000), m) : Visual(m));
    }
    const ScoreModel model = ScoreModel::FromReferences(references);
    for (const ReferenceRaw& reference : references) {
      EXPECT_LT(model.Score(reference.raw), *model.threshold()) << "round " << round;
      EXPECT_LT(reference.raw.map_max, model.map_limit());
    }
    EXPECT_LT(model.display_low(), model.map_limit());
    EXPECT_LT(model.map_limit(), model.display_high());
  }
}

TEST(ScoreModelTest, without_language_the_limit_scores_one_half) {
  const ScoreModel model = ScoreModel::FromReferences({Visual(0.8), Visual(1.0), Visual(0.9)});
  EXPECT_NEAR(model.Score({.text_probability = {}, .map_max = model.map_limit()}), 0.5, 1e-12);
  EXPECT_DOUBLE_EQ(*model.threshold(), 0.5);
}

TEST(ScoreModelTest, is_strictly_monotone_and_bounded_far_beyond_the_references) {
  const ScoreModel model = ScoreModel::FromReferences({Visual(0.8), Visual(1.0)});
  double last = -1;
  for (int i = 0; i < 800; ++i) {
    const double m = i * 0.01;
    const double score = model.Score({.text_probability = {}, .map_max = m});
    EXPECT_GT(score, last) << m;
    EXPECT_GE(score, 0);
    EXPECT_LE(score, 1);
    last = score;
  }
  const ScoreModel both = ScoreModel::FromReferences({Both(0.2, 0.8), Both(0.3, 1.0)});
  EXPECT_GT(both.Score({.text_probability = 0.6, .map_max = 1}),
            both.Score({.text_probability = 0.5, .map_max = 1}));
  EXPECT_GT(both.Score({.text_probability = 0.5, .map_max = 1.1}),
            both.Score({.text_probability = 0.5, .map_max = 1}));
}

TEST(ScoreModelTest, equal_references_still_leave_a_margin) {
  const ScoreModel model = ScoreModel::FromReferences({Visual(0), Visual(0)});
  EXPECT_TRUE(std::isfinite(model.Score({.text_probability = {}, .map_max = 0})));
  EXPECT_LT(model.Score({.text_probability = {}, .map_max = 0}), *model.threshold());
}

TEST(ScoreModelTest, survives_being_stored_to_the_bit) {
  const ScoreModel model = ScoreModel::FromReferences({Both(0.2, 0.83), Both(0.31, 1.07)});
  const ScoreModel again = ScoreModel::Deserialize(model.Serialize());
  const RawScore raw{.text_probability = 0.37, .map_max = 1.01};
  EXPECT_EQ(model.Score(raw), again.Score(raw));
  EXPECT_EQ(*model.threshold(), *again.threshold());
  EXPECT_FALSE(
      ScoreModel::Deserialize(ScoreModel::ZeroShot(4).Serialize()).threshold().has_value());
}

}  // namespace
}  // namespace hfwa::scoring
