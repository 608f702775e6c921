#include "core/bank/product_levels.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

namespace hfwa::bank {
namespace {

constexpr int kLevels = 3, kGrid = 10, kPatches = kGrid * kGrid;

at::Tensor Normalised(const at::Tensor& tokens) { return tokens / tokens.norm(2, -1, true); }

at::Tensor RandomTokens(uint64_t seed, int64_t patches = kPatches) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return Normalised(at::randn({kLevels, patches, 6}, generator));
}

std::shared_ptr<const Bank> MakeBank() {
  const auto kernels = kernels::MakeKernels(at::kCPU, at::kFloat);
  return *Bank::Create(2, *kernels, [](int k) { return RandomTokens(static_cast<uint64_t>(k)); });
}

model::ModelConfig Config() {
  model::ModelConfig config;
  config.taps = {0, 1, 2};
  model::ProductLevels& levels = config.product_levels.emplace();
  levels.object = {{{1, 2, 0}, {0.5F, 0, 0}, {0, 0, 0}}};
  levels.texture = {{{0, 1, 1}, {0, 0, 1}, {0, 0.25F, 0}}};
  return config;
}

double Mean(const at::Tensor& map, int64_t top, int64_t left, int64_t side) {
  double sum = 0;
  for (int64_t y = top; y < top + side; ++y) {
    for (int64_t x = left; x < left + side; ++x) sum += map[y][x].item<double>();
  }
  return sum / static_cast<double>(side * side);
}

// The window's corner: around the patch, moved inwards at the edge.
int64_t Corner(int64_t place, int64_t side) {
  return std::clamp<int64_t>(place - (side - 1) / 2, 0, kGrid - side);
}

at::Tensor NaiveMeans(const at::Tensor& maps, int64_t side) {
  at::Tensor means = at::empty_like(maps);
  for (int64_t n = 0; n < maps.size(0); ++n) {
    for (int64_t y = 0; y < kGrid; ++y) {
      for (int64_t x = 0; x < kGrid; ++x)
        means[n][y][x] = Mean(maps[n], Corner(y, side), Corner(x, side), side);
    }
  }
  return means;
}

// By sorting: linear between neighbours at the quantile, the lower of two middle values.
double Spread(const std::vector<at::Tensor>& maps) {
  std::vector<double> values;
  for (const at::Tensor& map : maps) {
    const at::Tensor flat = map.flatten();
    for (int64_t i = 0; i < flat.numel(); ++i) values.push_back(flat[i].item<double>());
  }
  std::sort(values.begin(), values.end());
  const double place = 0.99 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(std::floor(place));
  return values[below] + (place - std::floor(place)) * (values[below + 1] - values[below]) -
         values[(values.size() - 1) / 2];
}

TEST(ProductLevelsTest, window_means_are_their_loops) {
  const at::Tensor maps = at::rand({2, kGrid, kGrid});
  for (const int side : kWindows) {
    EXPECT_LT((WindowMeans(maps, side) - NaiveMeans(maps, side)).abs().max().item<float>(), 1e-6F)
        << side;
  }
  const at::Tensor small = at::rand({1, 3, 3});
  EXPECT_LT((WindowMeans(small, 8) - small.mean()).abs().max().item<float>(), 1e-6F)
      << "a grid smaller than the window is one window";
}

TEST(ProductLevelsTest, levels_and_windows_count_in_units_of_their_spread_among_the_references) {
  const model::ModelConfig config = Config();
  struct Case {
    double ratio;
    double texture;
  };
  for (const Case& at : {Case{1.0, 1}, Case{1.15, 0.5}, Case{1.3, 0}}) {
    const auto bank = MakeBank();
    std::vector<ReferenceLevels> references;
    std::vector<at::Tensor> plain;
    for (const uint64_t seed : {7U, 8U}) {
      plain.push_back(bank->Match(RandomTokens(seed)));
      references.push_back({plain.back().clone(), at.ratio});
    }
    const auto weighed = WeighForProduct(config, bank, references);
    at::Tensor expected = at::zeros_like(plain[0]);
    for (size_t window = 0; window < kWindows.size(); ++window) {
      std::vector<at::Tensor> means;
      for (const at::Tensor& map : plain) means.push_back(NaiveMeans(map, kWindows[window]));
      for (int64_t level = 0; level < kLevels; ++level) {
        const auto place = static_cast<size_t>(level);
        const double wanted = at.texture * config.product_levels->texture[window][place] +
                              (1 - at.texture) * config.product_levels->object[window][place];
        expected[level] += means[0][level] * (wanted / Spread({means[0][level], means[1][level]}));
      }
    }
    const float scale = expected.abs().max().item<float>();
    EXPECT_LT((references[0].few - expected).abs().max().item<float>(), 1e-4F * scale) << at.ratio;
    EXPECT_LT((weighed->Match(RandomTokens(7)) - expected).abs().max().item<float>(), 1e-4F * scale)
        << at.ratio;
  }
}

TEST(ProductLevelsTest, pictures_of_one_part_do_not_blow_a_level_up) {
  const std::vector<ReferenceLevels> same = {{at::zeros({kLevels, kGrid, kGrid}), 2.0}};
  const auto weighed = WeighForProduct(Config(), MakeBank(), same);
  EXPECT_FLOAT_EQ(weighed->level_weights()[0], 1 / kSpreadMin);
}

TEST(ProductLevelsTest, leaves_the_bank_where_the_model_does_not_ask_for_it) {
  const auto bank = MakeBank();
  const std::vector<ReferenceLevels> references = {{bank->Match(RandomTokens(7)), 1.0}};
  const at::Tensor before = references[0].few.clone();
  EXPECT_EQ(WeighForProduct(model::ModelConfig(), bank, references), bank);
  EXPECT_TRUE(references[0].few.equal(before));
}

TEST(ProductLevelsTest, halves_of_a_texture_are_alike_and_those_of_an_object_are_not) {
  // As large as a model's, so that the neighbours left out of the own half are few.
  constexpr int64_t kSide = 24, kLarge = kSide * kSide;
  EXPECT_NEAR(HalvesRatio(RandomTokens(3, kLarge)), 1, 0.1);
  // Left and right of another kind: a patch finds its like in its own half alone.
  const at::Tensor right = (at::arange(kLarge).remainder(kSide) >= kSide / 2).to(at::kFloat);
  at::Tensor sides = RandomTokens(3, kLarge);
  sides.select(2, 0).add_(5 * (2 * right - 1));
  EXPECT_GT(HalvesRatio(Normalised(sides)), 3);
  at::Tensor flat = at::zeros({kLevels, kPatches, 6});
  flat.select(2, 1).fill_(1);
  EXPECT_EQ(HalvesRatio(flat), 1) << "a picture of one colour";
}

}  // namespace
}  // namespace hfwa::bank
