#include "lab/metrics/statistics.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lab/python_random.h"

namespace hfwa::lab {
namespace {

using testing::ElementsAre;

TEST(AurocTest, counts_pairs_and_halves_ties) {
  EXPECT_DOUBLE_EQ(Auroc({0.1, 0.2}, {0.3, 0.4}), 1.0);
  EXPECT_DOUBLE_EQ(Auroc({0.3, 0.4}, {0.1, 0.2}), 0.0);
  EXPECT_DOUBLE_EQ(Auroc({1, 1}, {1}), 0.5);
  EXPECT_DOUBLE_EQ(Auroc({1, 2, 3, 4}, {2.5, 3}), (2 + 2.5) / 8);
  EXPECT_TRUE(std::isnan(Auroc({}, {1})));
}

TEST(MeanTest, deviation_is_of_the_population) {
  EXPECT_DOUBLE_EQ(Mean({1, 2, 6}), 3);
  EXPECT_DOUBLE_EQ(Deviation({1, 3}), 1);
}

// Expected numbers: random.Random(seed).sample(range(size), count) of CPython 3.11.
TEST(PythonRandomTest, samples_as_python_does_from_large_pools) {
  EXPECT_THAT(PythonRandom(0).Sample(60, 4), ElementsAre(54, 24, 48, 56));
  EXPECT_THAT(PythonRandom(1).Sample(60, 4), ElementsAre(8, 36, 54, 51));
  EXPECT_THAT(PythonRandom(2).Sample(60, 4), ElementsAre(55, 54, 3, 5));
  EXPECT_THAT(PythonRandom(4000000000U).Sample(2000, 8),
              ElementsAre(838, 1344, 371, 1949, 1820, 129, 927, 1512));
}

TEST(PythonRandomTest, samples_as_python_does_from_small_pools) {
  EXPECT_THAT(PythonRandom(0).Sample(10, 4), ElementsAre(6, 9, 0, 2));
  EXPECT_THAT(PythonRandom(7).Sample(10, 4), ElementsAre(5, 2, 6, 9));
}

}  // namespace
}  // namespace hfwa::lab
