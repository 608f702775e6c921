#include "lab/seeded_model.h"

#include <unistd.h>

#include <bit>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/model/hfwa.h"
#include "core/model/merges.h"
#include "core/model/safetensors.h"
#include "core/model/tokenizer.h"

namespace hfwa::lab {
namespace {

const std::string kTiny = std::string(HFWA_SOURCE_DIR) + "/tests/parity/fixtures/tiny/";
const std::string kData = std::string(HFWA_SOURCE_DIR) + "/tests/data/";
const std::string kFullConfig = std::string(HFWA_SOURCE_DIR) + "/models/vit-l-14-336.json";
constexpr uint64_t kTinySeed = 3;
constexpr uint64_t kFullSeed = 7;

std::string ReadText(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
}

TEST(SeededModel, bits_equal_the_recipe_s_check_values) {
  EXPECT_EQ(SeededKey("visual.proj", 0), 0x379d870311ac6766U);
  EXPECT_EQ(SeededKey("visual.proj", kFullSeed), 0x6419d3116aa503f5U);
  EXPECT_EQ(SeededBits("visual.proj", kFullSeed, 0), 0x7c5651e283ea2dd1U);
  EXPECT_EQ(SeededBits("visual.proj", kFullSeed, 1), 0x2462cfeb434cc770U);
}

TEST(SeededModel, full_size_tensors_equal_the_recipe_s_check_values) {
  struct Check {
    const char* name;
    std::vector<int64_t> shape;
    uint32_t first, second, last;
  };
  const Check checks[] = {
      {"visual.conv1.weight", {1024, 3, 14, 14}, 0xbd258bd6, 0x3d705ea6, 0x3d459cef},
      {"visual.class_embedding", {1024}, 0x3f3c654a, 0xbea41a24, 0xbf4297bc},
      {"visual.ln_pre.weight", {1024}, 0x3f86f958, 0x3f83ad4d, 0x3f7604b0},
      {"visual.transformer.resblocks.23.attn.in_proj_weight",
       {3072, 1024},
       0xbcca3a68,
       0xb9fc1300,
       0xbd7b59c6},
      {"visual.transformer.resblocks.5.attn.in_proj_bias",
       {3072},
       0xbd59e694,
       0xbd8f86f8,
       0xbdb050ae},
      {"visual.proj", {1024, 768}, 0xbac741fd, 0xbd1bbe6d, 0xbc2eb949},
      {"token_embedding.weight", {49408, 768}, 0x3c3bf208, 0x3c91062e, 0x3bc0aae8},
      {"visual_encoder.adapters.0.blocks.0.attn.logit_scale",
       {8, 1, 1},
       0x402a79c1,
       0x40984d1e,
       0x3f930dc0},
      {"visual_encoder.adapters.3.blocks.0.attn.cpb_mlp.2.weight",
       {8, 64},
       0x3e04e928,
       0xbdd5583c,
       0x3d5a5ed8},
      {"cross_fusion.linear.bias", {768}, 0xbcc6afd0, 0xbdafd7a4, 0xbc2378e0},
      {"prompt_learner.ctx_neg", {1, 1, 12, 768}, 0xbce6fd40, 0xbcc44c50, 0xbc061a60},
  };
  for (const Check& check : checks) {
    const auto tensor = SeededTensor(check.name, check.shape, kFullSeed);
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    const float* values = tensor->const_data_ptr<float>();
    EXPECT_EQ(std::bit_cast<uint32_t>(values[0]), check.first) << check.name;
    EXPECT_EQ(std::bit_cast<uint32_t>(values[1]), check.second) << check.name;
    EXPECT_EQ(std::bit_cast<uint32_t>(values[tensor->numel() - 1]), check.last) << check.name;
  }
}

TEST(SeededModel, full_size_images_equal_the_recipe_s_check_values) {
  const at::Tensor image = SeededImage("image.0", 336, kFullSeed, true);
  EXPECT_FLOAT_EQ(image[0][0][0].item<float>(), 0.6808624F);
  EXPECT_FLOAT_EQ(image[0][0][1].item<float>(), 0.9154358F);
  EXPECT_FLOAT_EQ(image[2][335][335].item<float>(), -0.33935547F);
  const at::Tensor reference = SeededImage("reference.1", 336, kFullSeed, false);
  EXPECT_FLOAT_EQ(reference[0][0][0].item<float>(), -0.6229019F);
  EXPECT_FLOAT_EQ(reference[0][0][1].item<float>(), -0.9811859F);
  EXPECT_FLOAT_EQ(reference[2][335][335].item<float>(), -0.9440155F);
}

TEST(SeededModel, every_stored_tensor_of_the_small_fixture_is_made_to_the_bit) {
  for (const char* file : {"weights.safetensors", "learned.safetensors"}) {
    const auto stored = model::ReadAllTensors(kTiny + file);
    ASSERT_TRUE(stored.ok()) << stored.status();
    for (const auto& [name, tensor] : *stored) {
      const auto made = SeededTensor(name, tensor.sizes().vec(), kTinySeed);
      ASSERT_TRUE(made.ok()) << made.status();
      EXPECT_TRUE(at::equal(*made, tensor)) << name;
    }
  }
}

TEST(SeededModel, the_small_fixture_s_pictures_are_made_to_the_bit) {
  const auto config = model::ParseModelConfig(ReadText(kTiny + "config.json"));
  const auto inputs = model::ReadAllTensors(kTiny + "inputs.safetensors");
  ASSERT_TRUE(config.ok() && inputs.ok());
  EXPECT_TRUE(at::equal(SeededImages(*config, kTinySeed, "image", 3), inputs->at("images")));
  EXPECT_TRUE(
      at::equal(SeededImages(*config, kTinySeed, "reference", 4), inputs->at("references")));
}

TEST(SeededModel, weights_cover_every_configuration) {
  auto config = *model::ParseModelConfig(ReadText(kTiny + "config.json"));
  EXPECT_TRUE(model::CheckWeights(config, SeededWeights(config, 1)).ok());
  config.adapter.hidden = {24};
  config.adapter.depth = 2;
  EXPECT_TRUE(model::CheckWeights(config, SeededWeights(config, 1)).ok());
  config.adapter.type = model::AdapterConfig::Type::kLinear;
  config.share_weight = true;
  const model::Weights shared = SeededWeights(config, 1);
  EXPECT_TRUE(model::CheckWeights(config, shared).ok());
  EXPECT_TRUE(shared.Has("visual_encoder.adapters.3.layers.2.weight"));
  config.text.reset();
  config.vision.projection = false;
  config.vision.pre_norm_layer = false;
  EXPECT_TRUE(model::CheckWeights(config, SeededWeights(config, 1)).ok());
  EXPECT_FALSE(SeededTensor("unheard.of", {3}, 1).ok());
}

// models/vit-l-14-336.json, with the sizes of its towers as the fixture of the paper's program.
TEST(SeededModel, the_benchmark_s_sizes_are_those_of_the_paper_s_model) {
  const auto ours = model::ParseModelConfig(ReadText(kFullConfig));
  ASSERT_TRUE(ours.ok()) << ours.status();
  const auto theirs = model::ParseModelConfig(
      ReadText(std::string(HFWA_SOURCE_DIR) + "/tests/parity/fixtures/full_seed7/config.json"));
  ASSERT_TRUE(theirs.ok()) << theirs.status();
  const auto specs = model::RequiredTensors(*ours), expected = model::RequiredTensors(*theirs);
  ASSERT_EQ(specs.size(), expected.size());
  for (size_t i = 0; i < specs.size(); ++i) {
    EXPECT_EQ(specs[i].name, expected[i].name);
    EXPECT_EQ(specs[i].shape, expected[i].shape) << specs[i].name;
  }
  EXPECT_EQ(ours->taps, theirs->taps);
}

TEST(SeededModel, the_benchmark_s_model_scaled_down_judges_by_its_prompts) {
  auto config = nlohmann::json::parse(ReadText(kFullConfig));
  config["vision"] = {{"width", 128}, {"layers", 24}, {"patch_size", 14}, {"image_size", 56}};
  config["text"]["width"] = 64;
  config["text"]["heads"] = 1;
  config["embed_dim"] = 64;
  config["fusion_dim"] = 64;
  config["map_size"] = 56;
  const std::string directory = testing::TempDir() + "/scaled" + std::to_string(getpid());
  const auto merges =
      model::ReadMerges(std::string(HFWA_SOURCE_DIR) +
                        "/tests/parity/fixtures/tokenizer/bpe_simple_vocab_16e6.txt.gz");
  ASSERT_TRUE(merges.ok()) << merges.status();
  ASSERT_TRUE(WriteSeededModel(config.dump(), 7, *merges, directory).ok());
  auto files = model::ReadModelDirectory(directory);
  std::filesystem::remove_all(directory);
  ASSERT_TRUE(files.ok()) << files.status();
  const auto hfwa = model::Hfwa::Create(*std::move(files), {});
  ASSERT_TRUE(hfwa.ok()) << hfwa.status();
  // The real merges and vocabulary: the two prompts are other ids, so other features.
  const at::Tensor pair = (*hfwa)->text_pairs();
  ASSERT_EQ(pair.sizes(), at::IntArrayRef({1, 2, 64}));
  EXPECT_LT(at::dot(pair[0][0], pair[0][1]).item<float>(), 0.9999F);
  const auto result = (*hfwa)->Forward(SeededImages((*hfwa)->config(), 7, "image", 2), {0, 0});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->language_diff.sizes(), at::IntArrayRef({2, 4, 4, 4}));
  EXPECT_TRUE(at::isfinite(result->text_probs).all().item<bool>());
  EXPECT_FALSE(at::equal(result->tokens[0], result->tokens[1]));
}

TEST(SeededModel, the_written_directory_is_read_back) {
  const std::string directory = testing::TempDir() + "/seeded" + std::to_string(getpid());
  const std::string config_json = ReadText(kData + "seeded_model.json");
  const std::string merges = ReadText(kData + "merges.txt");
  ASSERT_TRUE(WriteSeededModel(config_json, 9, merges, directory).ok());
  const auto files = model::ReadModelDirectory(directory);
  ASSERT_TRUE(files.ok()) << files.status();
  const model::Weights expected = SeededWeights(files->config, 9);
  for (const auto& [name, tensor] : expected.tensors()) {
    EXPECT_TRUE(at::equal(files->weights.tensors().at(name), tensor)) << name;
  }
  EXPECT_EQ(files->merges, merges);
  const auto tokenizer = model::Tokenizer::Create(files->merges, files->config.text->vocab_size);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  for (const char* prompt : {"X X X X object.", "X X X X damaged object."}) {
    const auto row = tokenizer->EncodeRow(prompt, files->config.text->context_length);
    EXPECT_TRUE(row.ok()) << row.status();
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace hfwa::lab
