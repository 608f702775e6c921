// Windows of patches against loops over them.

#include "lab/eval/window_maps.h"

#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hfwa::lab {
namespace {

using testing::ElementsAre;

std::vector<int64_t> Row(const at::Tensor& rows, int64_t index) {
  const at::Tensor row = rows[index].contiguous();
  return {row.const_data_ptr<int64_t>(), row.const_data_ptr<int64_t>() + row.numel()};
}

TEST(WindowMapsTest, windows_show_the_class_token_and_their_patches) {
  const at::Tensor rows = WindowRows(4, 2);
  ASSERT_EQ(rows.size(0), WindowCount(4, 2));
  ASSERT_EQ(rows.size(0), 9);
  EXPECT_THAT(Row(rows, 0), ElementsAre(0, 1, 2, 5, 6));
  EXPECT_THAT(Row(rows, 2), ElementsAre(0, 3, 4, 7, 8));
  EXPECT_THAT(Row(rows, 8), ElementsAre(0, 11, 12, 15, 16));
  EXPECT_THAT(Row(WindowRows(3, 3), 0), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST(WindowMapsTest, harmonic_mean_is_its_formula_and_zero_where_a_value_is) {
  const at::Tensor mean = HarmonicMean(at::tensor({0.2, 0.5, 0.0, 1.0, 0.25, 0.7}).view({2, 3}));
  EXPECT_FLOAT_EQ(mean[0].item<float>(), 2 / (1 / 0.2F + 1 / 1.0F));
  EXPECT_FLOAT_EQ(mean[1].item<float>(), 2 / (1 / 0.5F + 1 / 0.25F));
  EXPECT_EQ(mean[2].item<float>(), 0);
}

TEST(WindowMapsTest, a_patch_has_the_harmonic_mean_of_the_windows_that_cover_it) {
  for (const int side : {1, 2, 3}) {
    for (const int grid : {3, 5}) {
      const int across = grid - side + 1;
      at::Tensor scores = at::rand({WindowCount(grid, side)},
                                   at::make_generator<at::CPUGeneratorImpl>(grid), at::kFloat);
      scores[-1] = 1e-7;
      scores[0] = 0;  // all that it covers is 0
      const at::Tensor map = HarmonicCover(scores, grid, side);
      ASSERT_EQ(map.sizes(), (std::vector<int64_t>{grid, grid}));
      for (int y = 0; y < grid; ++y) {
        for (int x = 0; x < grid; ++x) {
          double inverse = 0;
          int count = 0;
          for (int top = 0; top < across; ++top) {
            for (int left = 0; left < across; ++left) {
              if (y < top || y >= top + side || x < left || x >= left + side) continue;
              inverse += 1.0 / scores[top * across + left].item<double>();
              ++count;
            }
          }
          const double expected = std::isinf(inverse) ? 0 : count / inverse;
          EXPECT_NEAR(map[y][x].item<double>(), expected, 1e-6 * expected)
              << "side " << side << ", grid " << grid << ", patch " << y << " " << x;
        }
      }
    }
  }
}

TEST(WindowMapsTest, equal_windows_give_a_flat_map_up_to_the_border) {
  const at::Tensor map = HarmonicCover(at::full({9}, 0.3F), 5, 3);
  EXPECT_LE((map - 0.3F).abs().max().item<float>(), 1e-7);
}

}  // namespace
}  // namespace hfwa::lab
