#include "core/bank/coreset.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>

namespace hfwa::bank {
namespace {

using ::testing::ElementsAre;

at::Tensor RandomRows(int64_t count, int64_t width) {
  at::Generator generator = at::detail::createCPUGenerator(3);
  const at::Tensor rows = at::randn({count, width}, generator);
  return rows / rows.norm(2, -1, true);
}

// Largest distance of a row to the nearest chosen one.
double Radius(const at::Tensor& rows, const std::vector<int64_t>& chosen) {
  const at::Tensor kept = rows.index_select(0, at::tensor(at::ArrayRef<int64_t>(chosen)));
  return std::get<0>(at::cdist(rows, kept).min(1)).max().item<double>();
}

// As the algorithm is written, one distance at a time, without projection.
std::vector<int64_t> Naive(const at::Tensor& rows, std::vector<int64_t> chosen, int64_t size) {
  while (static_cast<int64_t>(chosen.size()) < size) {
    int64_t farthest = 0;
    double most = -1;
    for (int64_t r = 0; r < rows.size(0); ++r) {
      double nearest = std::numeric_limits<double>::max();
      for (const int64_t c : chosen)
        nearest = std::min(nearest, (rows[r] - rows[c]).pow(2).sum().item<double>());
      if (nearest > most + 1e-9) most = nearest, farthest = r;
    }
    chosen.push_back(farthest);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

TEST(CoresetTest, takes_the_farthest_row_each_time) {
  const at::Tensor rows = RandomRows(60, 16);
  const std::vector<int64_t> first = Coreset(rows, 3, 0.01);
  EXPECT_EQ(first.size(), 3U) << "one of each reference, whatever the ratio";
  EXPECT_THAT(first,
              ElementsAre(::testing::Lt(20), ::testing::AllOf(::testing::Ge(20), ::testing::Lt(40)),
                          ::testing::Ge(40)));
  for (const double ratio : {0.1, 0.25, 0.5})
    EXPECT_EQ(Coreset(rows, 3, ratio), Naive(rows, first, CoresetSize(60, 3, ratio))) << ratio;
}

TEST(CoresetTest, sizes_are_rounded_up_and_bounded) {
  EXPECT_EQ(CoresetSize(1000, 1, 0.1), 100);
  EXPECT_EQ(CoresetSize(1000, 1, 0.1001), 101);
  EXPECT_EQ(CoresetSize(1000, 4, 0.001), 4);
  EXPECT_EQ(CoresetSize(1000, 4, 1), 1000);
  EXPECT_EQ(Coreset(RandomRows(10, 4), 2, 1).size(), 10U);
}

TEST(CoresetTest, equal_rows_are_chosen_once_each) {
  const at::Tensor rows = at::ones({12, 4}) / 2;
  const std::vector<int64_t> chosen = Coreset(rows, 2, 0.5);
  EXPECT_EQ(std::set<int64_t>(chosen.begin(), chosen.end()).size(), 6U);
}

TEST(CoresetTest, a_projection_covers_nearly_as_well) {
  const at::Tensor rows = RandomRows(400, 512);
  const std::vector<int64_t> first = Coreset(rows, 2, 0.001);
  const double exact = Radius(rows, Naive(rows, first, 40));
  EXPECT_LT(Radius(rows, Coreset(rows, 2, 0.1)), 1.1 * exact);
}

TEST(CoresetTest, threads_do_not_matter) {
  const at::Tensor rows = RandomRows(9000, 160);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const std::vector<int64_t> one = Coreset(rows, 4, 0.01);
  at::set_num_threads(4);
  EXPECT_EQ(Coreset(rows, 4, 0.01), one);
  at::set_num_threads(threads);
}

}  // namespace
}  // namespace hfwa::bank
