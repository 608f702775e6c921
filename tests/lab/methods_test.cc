// SPADE, PaDiM and PatchCore against their formulas written out in loops.

#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "core/bank/coreset.h"
#include "core/model/maps.h"
#include "lab/eval/padim_method.h"
#include "lab/eval/patchcore_method.h"
#include "lab/eval/spade_method.h"

namespace hfwa::lab {
namespace {

constexpr int kLevels = 2, kGrid = 4, kPatches = kGrid * kGrid, kWidth = 6;

using Row = std::vector<double>;
using Patches = std::vector<Row>;  // levels side by side

Features RandomFeatures(int seed, int width = kWidth) {
  const at::Tensor tokens = at::randn({kLevels, kPatches, width},
                                      at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
  return {.tokens = tokens / tokens.norm(2, {2}, /*keepdim=*/true),
          .language_diff = {},
          .probability = std::nullopt};
}

std::vector<Features> RandomReferences(int count, int width = kWidth) {
  std::vector<Features> references;
  for (int k = 0; k < count; ++k) references.push_back(RandomFeatures(10 + k, width));
  return references;
}

Patches PatchesOf(const Features& features) {
  Patches patches(kPatches);
  const auto tokens = features.tokens.accessor<float, 3>();
  for (int p = 0; p < kPatches; ++p) {
    for (int n = 0; n < kLevels; ++n) {
      for (int64_t e = 0; e < tokens.size(2); ++e)
        patches[static_cast<size_t>(p)].push_back(tokens[n][p][e]);
    }
  }
  return patches;
}

double Distance(const Row& a, const Row& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

Row MeanRow(const Patches& patches) {
  Row mean(patches.front().size(), 0);
  for (const Row& patch : patches) {
    for (size_t i = 0; i < mean.size(); ++i)
      mean[i] += patch[i] / static_cast<double>(patches.size());
  }
  return mean;
}

model::ModelConfig Config() {
  model::ModelConfig config;
  config.map_size = 24;
  config.filter_sigma = 1.5;
  return config;
}

void ExpectMap(const Judgement& judgement, const Row& scores, double tolerance) {
  const at::Tensor grid = at::tensor(scores, at::kDouble).to(at::kFloat).view({1, kGrid, kGrid});
  const at::Tensor expected =
      model::GaussianFilter(model::UpsampleMaps(grid, Config().map_size), 1.5)[0];
  EXPECT_LE((judgement.map - expected).abs().max().item<double>(), tolerance);
  EXPECT_EQ(judgement.raw.map_max, judgement.map.max().item<float>());
}

Judgement JudgedBy(const Method& method, const std::vector<Features>& references,
                   const Features& image) {
  const auto detector = method.Fit({references, "", 0});
  EXPECT_TRUE(detector.ok()) << detector.status();
  auto judgement = (*detector)->Judge(image, false);
  EXPECT_TRUE(judgement.ok()) << judgement.status();
  const std::vector<Scoring> scorings = (*detector)->Score({judgement->raw, judgement->raw});
  EXPECT_EQ(scorings.size(), 1);
  EXPECT_EQ(scorings.front().scores, std::vector<double>(2, *judgement->raw.image));
  return *std::move(judgement);
}

TEST(SpadeTest, is_its_formula) {
  const model::ModelConfig config = Config();
  for (const int count : {1, 3, 60}) {  // 60: not all are near
    const std::vector<Features> references = RandomReferences(count);
    const Features image = RandomFeatures(1);
    const Patches patches = PatchesOf(image);
    std::vector<std::pair<double, Patches>> by_distance;
    for (const Features& reference : references) {
      Patches of = PatchesOf(reference);
      const double distance = Distance(MeanRow(patches), MeanRow(of));
      by_distance.emplace_back(distance, std::move(of));
    }
    std::sort(by_distance.begin(), by_distance.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    by_distance.resize(std::min<size_t>(50, by_distance.size()));
    double score = 0;
    Row scores(kPatches, 1e9);
    for (const auto& [distance, of] : by_distance) {
      score += distance / static_cast<double>(by_distance.size());
      for (size_t p = 0; p < scores.size(); ++p) {
        for (const Row& row : of) scores[p] = std::min(scores[p], Distance(patches[p], row));
      }
    }
    const Judgement judgement = JudgedBy(SpadeMethod(config), references, image);
    EXPECT_NEAR(*judgement.raw.image, score, 1e-5) << count;
    ExpectMap(judgement, scores, 1e-5);
  }
}

TEST(PadimTest, is_its_formula) {
  const model::ModelConfig config = Config();
  for (const int count : {1, 2, 7}) {
    const std::vector<Features> references = RandomReferences(count);
    const Features image = RandomFeatures(1);
    const Patches patches = PatchesOf(image);
    std::vector<Patches> all;
    for (const Features& reference : references) all.push_back(PatchesOf(reference));
    Row scores;
    for (size_t p = 0; p < kPatches; ++p) {
      Patches here;
      for (const Patches& of : all) here.push_back(of[p]);
      const Row mean = MeanRow(here);
      const auto width = static_cast<int64_t>(mean.size());
      at::Tensor covariance = 0.01 * at::eye(width, at::kDouble);
      for (int64_t i = 0; i < width; ++i) {
        for (int64_t j = 0; j < width; ++j) {
          double sum = 0;
          for (const Row& row : here)
            sum += (row[i] - mean[i]) * (row[j] - mean[j]) / std::max(1, count - 1);
          covariance[i][j] += sum;
        }
      }
      Row off;
      for (size_t i = 0; i < mean.size(); ++i) off.push_back(patches[p][i] - mean[i]);
      const at::Tensor x = at::tensor(off, at::kDouble);
      scores.push_back(std::sqrt(at::dot(x, at::mv(at::linalg_inv(covariance), x)).item<double>()));
    }
    const Judgement judgement = JudgedBy(PadimMethod(config), references, image);
    ExpectMap(judgement, scores, 1e-4);
    EXPECT_EQ(*judgement.raw.image, judgement.raw.map_max);
  }
}

TEST(PadimTest, draws_the_same_hundred_of_many_dimensions) {
  const model::ModelConfig config = Config();
  constexpr int kWide = 90;  // 180 side by side
  const std::vector<Features> references = RandomReferences(1, kWide);
  const auto first = PadimMethod(config).Fit({references, "", 0}),
             again = PadimMethod(config).Fit({references, "", 0});
  ASSERT_TRUE(first.ok() && again.ok());
  // One dimension away at a time: those that take part move the map.
  int moved = 0;
  for (int d = 0; d < kLevels * kWide; ++d) {
    Features image{
        .tokens = references[0].tokens.clone(), .language_diff = {}, .probability = std::nullopt};
    image.tokens.select(0, d / kWide).select(1, d % kWide).add_(1);
    const auto judgement = (*first)->Judge(image, false);
    ASSERT_TRUE(judgement.ok());
    EXPECT_TRUE(at::equal(judgement->map, (*again)->Judge(image, false)->map));
    if (judgement->raw.map_max > 1) ++moved;
  }
  EXPECT_EQ(moved, 100);
}

Features Averaged(const Features& features) {
  Features result{
      .tokens = at::zeros_like(features.tokens), .language_diff = {}, .probability = std::nullopt};
  for (int y = 0; y < kGrid; ++y) {
    for (int x = 0; x < kGrid; ++x) {
      int count = 0;
      at::Tensor sum = at::zeros({kLevels, kWidth}, at::kDouble);
      for (int v = std::max(0, y - 1); v <= std::min(kGrid - 1, y + 1); ++v) {
        for (int u = std::max(0, x - 1); u <= std::min(kGrid - 1, x + 1); ++u) {
          sum += features.tokens.select(1, v * kGrid + u);
          ++count;
        }
      }
      result.tokens.select(1, y * kGrid + x).copy_(sum / count);
    }
  }
  return result;
}

TEST(PatchcoreTest, is_its_formula) {
  const model::ModelConfig config = Config();
  for (const int count : {1, 3, 20}) {
    const std::vector<Features> references = RandomReferences(count);
    const Features image = RandomFeatures(1);
    Patches all;
    for (const Features& reference : references) {
      for (const Row& row : PatchesOf(Averaged(reference))) all.push_back(row);
    }
    at::Tensor rows = at::empty({static_cast<int64_t>(all.size()), kLevels * kWidth});
    for (size_t r = 0; r < all.size(); ++r)
      rows[static_cast<int64_t>(r)].copy_(at::tensor(all[r], at::kDouble));
    Patches kept;
    for (const int64_t index : bank::Coreset(rows, count, 0.1))
      kept.push_back(all[static_cast<size_t>(index)]);

    const Patches patches = PatchesOf(Averaged(image));
    Row scores;
    double largest = -1;
    Row worst, nearest;
    for (const Row& patch : patches) {
      const Row& own = *std::min_element(kept.begin(), kept.end(), [&](const Row& a, const Row& b) {
        return Distance(patch, a) < Distance(patch, b);
      });
      scores.push_back(Distance(patch, own));
      if (scores.back() > largest) {
        largest = scores.back();
        worst = patch;
        nearest = own;
      }
    }
    std::sort(kept.begin(), kept.end(), [&](const Row& a, const Row& b) {
      return Distance(nearest, a) < Distance(nearest, b);
    });
    kept.resize(std::min<size_t>(9, kept.size()));
    double sum = 0;
    for (const Row& row : kept) sum += std::exp(Distance(worst, row));
    const Judgement judgement = JudgedBy(PatchcoreMethod(config), references, image);
    EXPECT_NEAR(*judgement.raw.image, (1 - std::exp(largest) / sum) * largest, 1e-5) << count;
    ExpectMap(judgement, scores, 1e-5);
  }
}

TEST(MatchingMethodsTest, say_that_they_need_references) {
  const model::ModelConfig config = Config();
  for (const Method* method : std::initializer_list<const Method*>{
           new SpadeMethod(config), new PadimMethod(config), new PatchcoreMethod(config)}) {
    const std::unique_ptr<const Method> owned(method);
    EXPECT_TRUE(absl::IsFailedPrecondition(owned->Fit(References{}).status())) << owned->name();
  }
}

}  // namespace
}  // namespace hfwa::lab
