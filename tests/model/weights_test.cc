#include "core/model/weights.h"

#include <algorithm>
#include <limits>
#include <string>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hfwa::model {
namespace {

using ::testing::HasSubstr;

ModelConfig Tiny() {
  ModelConfig config;
  config.embed_dim = 8;
  config.vision = {.width = 12, .layers = 3, .heads = 2, .patch_size = 2, .image_size = 4};
  config.text =
      TextConfig{.width = 6, .layers = 1, .heads = 1, .vocab_size = 20, .context_length = 16};
  config.taps = {0, 1};
  config.adapter.window = 2;
  config.adapter.heads = 3;
  config.adapter.cpb_dim = 5;
  config.prompt.length = 4;
  config.prompt.states_normal = {"{}", "good {}"};
  return config;
}

Weights Filled(const ModelConfig& config) {
  Weights weights;
  for (const TensorSpec& spec : RequiredTensors(config))
    weights.Set(spec.name, at::zeros(spec.shape));
  return weights;
}

bool Lists(const std::vector<TensorSpec>& specs, const std::string& name) {
  return std::any_of(specs.begin(), specs.end(),
                     [&](const auto& spec) { return spec.name == name; });
}

TEST(Weights, canonical_learnt_parameters_are_as_many_as_the_paper_s) {
  ModelConfig config;
  config.embed_dim = 768;
  config.vision = {.width = 1024, .layers = 24, .heads = 16, .patch_size = 14, .image_size = 336};
  config.text = TextConfig{
      .width = 768, .layers = 12, .heads = 12, .vocab_size = 49408, .context_length = 77};
  config.taps = {5, 11, 17, 23};
  int64_t learnt = 0;
  for (const TensorSpec& spec : RequiredTensors(config)) {
    if (spec.name.rfind("visual_encoder.", 0) != 0 && spec.name.rfind("prompt_learner.", 0) != 0 &&
        spec.name.rfind("cross_fusion.", 0) != 0) {
      continue;
    }
    int64_t count = 1;
    for (const int64_t side : spec.shape) count *= side;
    learnt += count;
  }
  EXPECT_EQ(learnt, 4'822'560);
}

TEST(Weights, check_passes_when_all_is_there) {
  EXPECT_TRUE(CheckWeights(Tiny(), Filled(Tiny())).ok());
}

TEST(Weights, check_names_the_tensor_when_it_is_missing_misshapen_or_not_finite) {
  const ModelConfig config = Tiny();
  for (const TensorSpec& spec : RequiredTensors(config)) {
    Weights weights = Filled(config);
    at::Tensor tensor = at::zeros(spec.shape);
    tensor.flatten()[tensor.numel() - 1] = std::numeric_limits<float>::quiet_NaN();
    weights.Set(spec.name, tensor);
    const absl::Status status = CheckWeights(config, weights);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(spec.name + " holds NaN"));
  }
  Weights weights = Filled(config);
  weights.Set("visual.proj", at::zeros({8, 12}));
  EXPECT_THAT(std::string(CheckWeights(config, weights).message()),
              HasSubstr("visual.proj has shape [8,12], not [12,8]"));
  at::Tensor infinite = at::zeros({12, 8});
  infinite[11][7] = -std::numeric_limits<float>::infinity();
  weights.Set("visual.proj", infinite);
  EXPECT_THAT(std::string(CheckWeights(config, weights).message()), HasSubstr("visual.proj holds"));
  const std::string all_missing(CheckWeights(config, Weights()).message());
  EXPECT_THAT(all_missing, HasSubstr("visual.conv1.weight is missing"));
  EXPECT_THAT(all_missing, HasSubstr(" more"));
}

TEST(Weights, get_names_the_tensor_when_it_is_absent_or_of_another_shape) {
  const Weights weights = Filled(Tiny());
  EXPECT_TRUE(weights.Get("visual.proj", {12, 8}).ok());
  EXPECT_EQ(weights.Get("visual.proj", {8, 12}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(weights.Get("nothing", {1}).status().code(), absl::StatusCode::kNotFound);
}

TEST(Weights, layer_names_count_activations_and_dropouts) {
  ModelConfig config = Tiny();
  config.adapter.hidden = {7, 9};
  auto layers = AdapterLayers(config, 1, 0);
  ASSERT_EQ(layers.size(), 3U);
  EXPECT_EQ(layers[1].name, "visual_encoder.adapters.1.blocks.0.mlp.layers.2.weight");
  EXPECT_EQ(layers[1].in, 7);
  EXPECT_EQ(layers[1].out, 9);
  EXPECT_EQ(layers[2].out, 12);
  config.adapter.drop = 0.1;
  config.adapter.type = AdapterConfig::Type::kLinear;
  layers = AdapterLayers(config, 0, 0);
  EXPECT_EQ(layers[2].name, "visual_encoder.adapters.0.layers.6.weight");
}

TEST(Weights, a_few_shot_model_needs_only_blocks_up_to_the_last_tap) {
  ModelConfig config = Tiny();
  config.text.reset();
  config.vision.projection = false;
  config.vision.pre_norm_layer = false;
  const auto specs = RequiredTensors(config);
  EXPECT_TRUE(Lists(specs, "visual.transformer.resblocks.1.ln_1.weight"));
  for (const char* name : {"visual.transformer.resblocks.2.ln_1.weight", "visual.ln_pre.weight",
                           "visual.ln_post.weight", "visual.proj", "token_embedding.weight",
                           "prompt_learner.ctx_pos"}) {
    EXPECT_FALSE(Lists(specs, name)) << name;
  }
}

TEST(Weights, aliases_resolve_when_adapters_are_linear) {
  ModelConfig config = Tiny();
  config.adapter.type = AdapterConfig::Type::kLinear;
  Weights weights;
  weights.Set("visual_encoder.adapters.0.weight", at::full({12, 12}, 1.0));
  weights.Set("visual_encoder.adapters.1.weight", at::full({12, 12}, 2.0));
  Weights own = weights;
  ResolveAliases(config, own);
  EXPECT_EQ(
      own.Get("visual_encoder.adapters.1.layers.0.weight", {12, 12})->flatten()[0].item<float>(),
      2.0F);
  config.share_weight = true;
  EXPECT_FALSE(Lists(RequiredTensors(config), "visual_encoder.adapters.1.layers.0.weight"));
  ResolveAliases(config, weights);
  EXPECT_EQ(weights.Get("visual_encoder.adapters.1.layers.0.weight", {12, 12})
                ->flatten()[0]
                .item<float>(),
            1.0F);
}

TEST(Weights, share_weight_does_nothing_when_adapters_are_windowed) {
  ModelConfig config = Tiny();
  config.share_weight = true;
  EXPECT_TRUE(Lists(RequiredTensors(config), "visual_encoder.adapters.1.blocks.0.norm1.weight"));
}

}  // namespace
}  // namespace hfwa::model
