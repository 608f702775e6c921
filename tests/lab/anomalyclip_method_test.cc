// AnomalyCLIP against its formulas, over the tower written out in plain operators.

#include "lab/eval/anomalyclip_method.h"

#include <cmath>
#include <functional>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/model/maps.h"
#include "core/model/prompts.h"
#include "core/model/text_tower.h"
#include "tests/lab/clip_model.h"
#include "tests/lab/plain_tower.h"

namespace hfwa::lab {
namespace {

using testing::HasSubstr;

// The prompts of the one class, a state a side, with the model's contexts in the places of "X".
at::Tensor Pair(const model::ModelFiles& files) {
  const auto ids = model::TokenizePrompts(files.config, files.merges);
  EXPECT_TRUE(ids.ok()) << ids.status();
  const auto tower = model::TextTower::Load(files.config, files.weights);
  EXPECT_TRUE(tower.ok());
  const auto& tensors = files.weights.tensors();
  std::vector<at::Tensor> sides;
  for (const bool anomaly : {false, true}) {
    const at::Tensor row = (anomaly ? ids->anomaly : ids->normal)[0][0];
    const at::Tensor contexts =
        tensors.at(anomaly ? "prompt_learner.ctx_neg" : "prompt_learner.ctx_pos")[0][0];
    const at::Tensor words = at::embedding(tensors.at("token_embedding.weight"), row);
    const at::Tensor embedded =
        at::cat({words.slice(0, 0, 1), contexts, words.slice(0, 1 + contexts.size(0))});
    at::Tensor feature = (*tower)->Encode(embedded.unsqueeze(0), row.argmax().view({1}))[0];
    if (files.config.text_linear) {
      feature = at::mv(tensors.at("cross_fusion.linear.weight"), feature) +
                tensors.at("cross_fusion.linear.bias");
    }
    sides.push_back(feature / feature.norm());
  }
  return at::stack(sides);
}

double Defect(const at::Tensor& feature, const at::Tensor& pair) {
  const at::Tensor unit = feature / feature.norm();
  const double normal = at::dot(unit, pair[0]).item<double>() / 0.07,
               defect = at::dot(unit, pair[1]).item<double>() / 0.07;
  return std::exp(defect) / (std::exp(normal) + std::exp(defect));
}

// Half of the upsampled anomaly segmentation and of one minus the normal one, smoothed.
at::Tensor LevelMap(const model::ModelConfig& config, const at::Tensor& tokens,
                    const at::Tensor& pair) {
  const int grid = config.vision.grid();
  at::Tensor normal = at::zeros({1, grid, grid}), anomaly = at::zeros({1, grid, grid});
  for (int l = 0; l < grid * grid; ++l) {
    const double defect = Defect(tokens[l], pair);
    anomaly[0][l / grid][l % grid] = defect;
    normal[0][l / grid][l % grid] = 1 - defect;
  }
  const at::Tensor map = (1 - model::UpsampleMaps(normal, config.map_size) +
                          model::UpsampleMaps(anomaly, config.map_size)) /
                         2;
  return model::GaussianFilter(map, 4)[0];
}

Judgement Judged(const ClipModel& model, const at::Tensor& image) {
  const auto method = MakeMethod("anomalyclip", model.loaded());
  EXPECT_TRUE(method.ok()) << method.status();
  Features features;
  for (const View* view : (*method)->views())
    features.views[view->name()] = model.Look(*view, image);
  EXPECT_FALSE((*method)->needs_model_pass());
  const auto detector = (*method)->Fit({{}, "screw", 0});
  EXPECT_TRUE(detector.ok()) << detector.status();
  auto judgement = (*detector)->Judge(features, /*with_levels=*/true);
  EXPECT_TRUE(judgement.ok()) << judgement.status();
  EXPECT_EQ((*detector)->Score({judgement->raw}).front().scores,
            std::vector<double>{*judgement->raw.image});
  return *std::move(judgement);
}

model::ModelFiles Changed(const std::function<void(model::ModelConfig&)>& change) {
  model::ModelFiles files = ClipModel::SeededFiles();
  change(files.config);
  return files;
}

TEST(AnomalyClipTest, is_its_formula) {
  for (const bool text_linear : {true, false}) {
    const ClipModel model(
        Changed([&](model::ModelConfig& config) { config.text_linear = text_linear; }));
    const model::ModelConfig& config = model.config();
    const PlainTower plain(config, model.files().weights);
    const at::Tensor pair = Pair(model.files());
    for (const int number : {0, 1}) {
      const at::Tensor image = model.Image(number);
      const Judgement judgement = Judged(model, image);
      at::Tensor sum = at::zeros({config.map_size, config.map_size});
      for (int level = 0; level < config.levels(); ++level) {
        const at::Tensor tokens = plain.NormedAndProjected(
            plain.Values(image, /*from=*/0, config.taps[level]).slice(0, 1));
        const at::Tensor map = LevelMap(config, tokens, pair);
        EXPECT_LE((judgement.levels[level] - map).abs().max().item<double>(), 5e-5) << level;
        sum += map;
      }
      EXPECT_LE((judgement.map - sum).abs().max().item<double>(), 1e-4);
      EXPECT_EQ(judgement.raw.map_max, judgement.map.max().item<float>());
      const at::Tensor feature =
          plain.NormedAndProjected(plain.Blocks(plain.Embed(image), config.vision.layers)[0]);
      EXPECT_NEAR(*judgement.raw.image, Defect(feature, pair), 5e-5);
    }
  }
}

// What such a model answers by itself, in the service too, are the cosines that the method reads.
TEST(AnomalyClipTest, a_model_of_value_tokens_computes_what_is_scored) {
  const ClipModel model(Changed([](model::ModelConfig& config) {
    config.value_encoder = true;
    config.adapter.type = model::AdapterConfig::Type::kNone;
  }));
  const model::ModelConfig& config = model.config();
  const at::Tensor image = model.Image(0);
  const auto own = model.hfwa().Forward(image.unsqueeze(0), std::vector<int>{0});
  ASSERT_TRUE(own.ok()) << own.status();
  const at::Tensor view = model.Look(ValueTokensView(model.hfwa()), image);
  const at::Tensor tokens = TokensOf(view, config.levels());
  EXPECT_TRUE(at::equal(own->tokens[0], tokens));
  const at::Tensor cosines = at::matmul(tokens, Pair(model.files()).t());
  EXPECT_LE((own->language_diff[0].flatten(1) - (cosines.select(2, 1) - cosines.select(2, 0)))
                .abs()
                .max()
                .item<double>(),
            1e-5);
  const at::Tensor defect = at::sigmoid(own->language_diff[0] / config.temperature);
  const Judgement judgement = Judged(model, image);
  EXPECT_LE((judgement.map -
             model::GaussianFilter(model::UpsampleMaps(defect.sum(0, true), config.map_size), 4)[0])
                .abs()
                .max()
                .item<double>(),
            1e-5);
  EXPECT_NEAR(*judgement.raw.image, own->text_probs[0][1].item<double>(), 1e-6);
}

TEST(AnomalyClipTest, says_what_is_lacking) {
  const ClipModel model;
  const auto method = MakeMethod("anomalyclip", model.loaded());
  ASSERT_TRUE(method.ok());
  const absl::Status few_shot = (*method)->Fit({{Features{}}, "screw", 0}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(few_shot));
  EXPECT_THAT(std::string(few_shot.message()), HasSubstr("zero shots"));

  const ClipModel textless(Changed([](model::ModelConfig& config) { config.text.reset(); }));
  const absl::Status no_text = MakeMethod("anomalyclip", textless.loaded()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(no_text));
  EXPECT_THAT(std::string(no_text.message()), HasSubstr("no language side"));

  const ClipModel fixed(Changed([](model::ModelConfig& config) {
    config.prompt.type = model::PromptConfig::Type::kFixed;
    config.prompt.templates = {"a {}."};
  }));
  const absl::Status no_contexts = MakeMethod("anomalyclip", fixed.loaded()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(no_contexts));
  EXPECT_THAT(std::string(no_contexts.message()), HasSubstr("learnt prompts"));
}

}  // namespace
}  // namespace hfwa::lab
