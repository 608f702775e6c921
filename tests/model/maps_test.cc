#include "core/model/maps.h"

#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace hfwa::model {
namespace {

// Index in d c b a | a b c d | d c b a, stepped towards the map until it is inside.
int64_t Mirror(int64_t i, int64_t n) {
  while (i < 0 || i >= n) i = i < 0 ? -1 - i : 2 * n - 1 - i;
  return i;
}

// One pass along dimension 0 or 1, by its definition.
at::Tensor NaivePass(const at::Tensor& map, double sigma, int dimension) {
  const auto radius = static_cast<int64_t>(std::floor(4 * sigma + 0.5));
  double sum = 0;
  std::vector<double> weights;
  for (int64_t k = -radius; k <= radius; ++k) {
    weights.push_back(std::exp(-static_cast<double>(k * k) / (2 * sigma * sigma)));
    sum += weights.back();
  }
  at::Tensor result = at::empty_like(map);
  const int64_t n = map.size(dimension);
  for (int64_t y = 0; y < map.size(0); ++y) {
    for (int64_t x = 0; x < map.size(1); ++x) {
      double value = 0;
      for (int64_t k = -radius; k <= radius; ++k) {
        const int64_t at = Mirror((dimension == 0 ? y : x) + k, n);
        const at::Tensor sample = dimension == 0 ? map[at][x] : map[y][at];
        value += weights[k + radius] / sum * sample.item<float>();
      }
      result[y][x] = static_cast<float>(value);
    }
  }
  return result;
}

at::Tensor Ramp(at::IntArrayRef shape) {
  const int64_t count = c10::multiply_integers(shape);
  return at::sin(at::arange(count, at::kFloat) * 1.7).view(shape);
}

double LargestDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST(GaussianFilterTest, equals_the_naive_filter_also_where_the_map_is_smaller_than_the_radius) {
  for (const double sigma : {0.5, 1.0, 4.0}) {
    for (const auto& shape : std::vector<std::vector<int64_t>>{{1, 1}, {3, 5}, {17, 4}, {20, 23}}) {
      const at::Tensor map = Ramp(shape);
      const at::Tensor expected = NaivePass(NaivePass(map, sigma, 0), sigma, 1);
      // Both round the same double sums; the order of the sums may move one unit in the last place.
      EXPECT_LE(LargestDifference(GaussianFilter(map, sigma), expected), 1.2e-7)
          << "sigma " << sigma << " map " << shape[0] << "x" << shape[1];
    }
  }
}

TEST(GaussianFilterTest, treats_each_map_alone_and_keeps_constants) {
  const at::Tensor maps = Ramp({2, 3, 9, 7});
  const at::Tensor filtered = GaussianFilter(maps, 2.0);
  EXPECT_TRUE(at::equal(filtered[1][2], GaussianFilter(maps[1][2], 2.0)));
  EXPECT_LE(
      LargestDifference(GaussianFilter(at::full({6, 6}, 0.75F), 4.0), at::full({6, 6}, 0.75F)),
      6e-8);
}

TEST(UpsampleMapsTest, aligns_corners) {
  const at::Tensor grid = at::tensor({0.0F, 1.0F, 2.0F, 3.0F}).view({1, 2, 2});
  const at::Tensor map = UpsampleMaps(grid, 5);
  ASSERT_EQ(map.sizes(), (at::IntArrayRef{1, 5, 5}));
  for (int y = 0; y < 5; ++y) {
    for (int x = 0; x < 5; ++x) {
      EXPECT_NEAR(map[0][y][x].item<float>(), x / 4.0 + y / 2.0, 1e-6) << y << ", " << x;
    }
  }
  EXPECT_FLOAT_EQ(UpsampleMaps(grid, 1).item<float>(), 0.0F);
}

TEST(LanguageMapsTest, sigmoid_stands_after_the_upsampling) {
  const at::Tensor diff = at::tensor({-2.0F, 2.0F, -2.0F, 2.0F}).view({1, 1, 2, 2});
  const at::Tensor map = LanguageMaps(diff, 3);
  EXPECT_NEAR(map[0][0][0][1].item<float>(), 0.5, 1e-6);
  EXPECT_NEAR(LanguageMaps(diff, 5)[0][0][0][1].item<float>(), 1 / (1 + std::exp(1.0)), 1e-6);
}

TEST(ZeroShotMapTest, sums_levels_and_filters_if_configured) {
  ModelConfig config;
  config.map_size = 8;
  const at::Tensor diff = Ramp({2, 3, 4, 4});
  const at::Tensor sum = LanguageMaps(diff, 8).sum(1);
  config.filter_sigma.reset();
  EXPECT_LE(LargestDifference(ZeroShotMap(config, diff), sum), 5e-7);
  config.filter_sigma = 1.0;
  EXPECT_LE(LargestDifference(ZeroShotMap(config, diff), GaussianFilter(sum, 1.0)), 5e-7);
}

TEST(MatchTokensTest, is_one_minus_the_best_cosine_of_each_level) {
  at::Tensor tokens = Ramp({2, 3, 4, 6}), bank = Ramp({3, 5, 6}).flip({1});
  tokens = tokens / tokens.norm(2, {-1}, true);
  bank = bank / bank.norm(2, {-1}, true);
  const at::Tensor few =
      MatchTokens(tokens, PackedBank::Pack(*kernels::MakeKernels(at::kCPU, at::kFloat), bank));
  ASSERT_EQ(few.sizes(), (at::IntArrayRef{2, 3, 2, 2}));
  for (int b = 0; b < 2; ++b) {
    for (int level = 0; level < 3; ++level) {
      const at::Tensor expected = 1 - at::mm(tokens[b][level], bank[level].t()).amax(1);
      EXPECT_LE(LargestDifference(few[b][level].flatten(), expected), 1e-6);
    }
  }
}

TEST(FewShotMapTest, is_the_sum_of_the_upsampled_levels) {
  ModelConfig config;
  config.map_size = 9;
  const at::Tensor few = Ramp({2, 3, 4, 4});
  EXPECT_LE(LargestDifference(FewShotMap(config, few), UpsampleMaps(few, 9).sum(1)), 1e-6);
}

}  // namespace
}  // namespace hfwa::model
