// Looks at the frozen tower against the tower written out in plain operators.

#include "lab/eval/clip_views.h"

#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/model/vision_tower.h"
#include "tests/lab/clip_model.h"
#include "tests/lab/plain_tower.h"

namespace hfwa::lab {
namespace {

double Apart(const at::Tensor& a, const at::Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  return (a - b).abs().max().item<double>();
}

TEST(ClipViewsTest, value_tokens_are_the_second_path_s_formula) {
  const ClipModel model;
  const PlainTower plain(model.config(), model.files().weights);
  const at::Tensor image = model.Image(0);
  const at::Tensor view = model.Look(ValueTokensView(model.hfwa()), image);
  const at::Tensor tokens = TokensOf(view, model.config().levels());
  for (int level = 0; level < model.config().levels(); ++level) {
    const at::Tensor values = plain.Values(image, /*from=*/0, model.config().taps[level]);
    EXPECT_LE(Apart(tokens[level], UnitRows(plain.NormedAndProjected(values.slice(0, 1)))), 2e-5)
        << level;
  }
  const at::Tensor feature =
      plain.NormedAndProjected(plain.Blocks(plain.Embed(image), model.config().vision.layers)[0]);
  EXPECT_LE(Apart(ImageFeatureOf(view), feature), 1e-4);
}

TEST(ClipViewsTest, value_path_starts_before_the_lowest_tap_and_needs_no_order) {
  model::ModelFiles files = ClipModel::SeededFiles();
  files.config.taps = {3, 2};
  const ClipModel model(std::move(files));
  const PlainTower plain(model.config(), model.files().weights);
  const at::Tensor image = model.Image(1);
  const at::Tensor tokens = TokensOf(model.Look(ValueTokensView(model.hfwa()), image), 2);
  EXPECT_LE(
      Apart(tokens[0], UnitRows(plain.NormedAndProjected(plain.Values(image, 2, 3).slice(0, 1)))),
      2e-5);
  EXPECT_LE(
      Apart(tokens[1], UnitRows(plain.NormedAndProjected(plain.Values(image, 2, 2).slice(0, 1)))),
      2e-5);
}

TEST(ClipViewsTest, value_tokens_come_in_lower_precision_too) {
  const ClipModel exact;
  const at::Tensor image = exact.Image(0);
  const at::Tensor expected = exact.Look(ValueTokensView(exact.hfwa()), image);
  for (const auto precision : {model::Precision::kBf16, model::Precision::kFp16}) {
    const ClipModel model(precision);
    const at::Tensor tokens =
        TokensOf(model.Look(ValueTokensView(model.hfwa()), image), model.config().levels());
    const double cosine =
        (tokens * TokensOf(expected, model.config().levels())).sum(-1).min().item<double>();
    EXPECT_GE(cosine, 0.999) << model::PrecisionName(precision);
  }
}

TEST(ClipViewsTest, a_choice_of_tokens_goes_through_the_tower) {
  const ClipModel model;
  const PlainTower plain(model.config(), model.files().weights);
  const model::VisionTower& tower = model.hfwa().vision();
  const at::Tensor image = model.Image(0);
  const at::Tensor chosen = at::tensor(std::vector<int64_t>{0, 1, 2, 9, 10});
  const at::Tensor embedded = tower.Embed(image.unsqueeze(0), {}).index_select(1, chosen);
  for (const int blocks : {1, 4, 5}) {
    const at::Tensor expected = plain.Blocks(plain.Embed(image).index_select(0, chosen), blocks);
    const at::Tensor x = tower.ApplyBlocks(embedded.clone(), blocks);
    EXPECT_LE(Apart(x[0], expected), 1e-4) << blocks;
    EXPECT_LE(Apart(tower.ImageFeature(x.select(1, 0))[0], plain.NormedAndProjected(expected[0])),
              1e-4)
        << blocks;
  }
}

TEST(ClipViewsTest, methods_over_language_say_that_it_is_lacking) {
  EXPECT_TRUE(absl::IsFailedPrecondition(NeedsLanguage(model::ModelConfig{}, "winclip")));
  EXPECT_TRUE(NeedsLanguage(ClipModel().config(), "winclip").ok());
}

}  // namespace
}  // namespace hfwa::lab
