#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/model/frozen_source.h"
#include "core/model/merges.h"
#include "core/model/safetensors.h"
#include "core/model/weights.h"

namespace hfwa::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

const fs::path kFixtures = fs::path(HFWA_SOURCE_DIR) / "tests/parity/fixtures/formats";

std::string ReadText(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
}

class ModelDirectory : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    directory_ =
        fs::path(testing::TempDir()) / (std::string(test->name()) + std::to_string(getpid()));
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name, std::ios::binary) << text;
  }
  void Copy(const fs::path& from, const std::string& name) {
    fs::copy_file(from, directory_ / name, fs::copy_options::overwrite_existing);
  }
  // A whole model of the fixtures' configuration under OpenAI's names.
  void MakeOpenAi() {
    Copy(kFixtures / "config.json", "config.json");
    Copy(kFixtures / "expected_openai.safetensors", "weights.safetensors");
    Copy(kFixtures / "expected_learned.safetensors", "learned.safetensors");
    Write("merges.txt", "#version\na b\n");
  }
  void MakeHuggingFace(const std::string& kind) {
    for (const auto& entry : fs::directory_iterator(kFixtures / kind))
      Copy(entry.path(), entry.path().filename());
    json own = json::parse(ReadText(kFixtures / "config.json"));
    for (const char* key : {"embed_dim", "vision", "text"}) own.erase(key);
    Write("hfwa.json", own.dump());
    Copy(kFixtures / "expected_learned.safetensors", "learned.safetensors");
    Write("merges.txt", "#version\na b\n");
  }
  absl::StatusOr<ModelFiles> Read() { return ReadModelDirectory(directory_.string()); }
  std::string Fault() {
    const auto files = Read();
    return files.ok() ? "accepted" : std::string(files.status().message());
  }

  fs::path directory_;
};

void ExpectFixtureWeights(const absl::StatusOr<ModelFiles>& files) {
  ASSERT_TRUE(files.ok()) << files.status();
  for (const char* name : {"expected_openai.safetensors", "expected_learned.safetensors"}) {
    const auto expected = ReadAllTensors((kFixtures / name).string());
    ASSERT_TRUE(expected.ok()) << expected.status();
    for (const auto& [tensor_name, tensor] : *expected) {
      if (tensor_name == "logit_scale") continue;  // unused, so not read
      const auto read = files->weights.Get(tensor_name, tensor.sizes());
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_TRUE(at::equal(*read, tensor)) << tensor_name;
    }
  }
}

TEST_F(ModelDirectory, weights_equal_the_fixture_s_when_names_are_open_ai_s) {
  MakeOpenAi();
  const auto files = Read();
  ExpectFixtureWeights(files);
  EXPECT_EQ(files->merges, "#version\na b\n");
  EXPECT_EQ(files->digest.size(), 64U);
}

TEST_F(ModelDirectory, weights_equal_the_fixture_s_when_names_are_hugging_face_s) {
  MakeHuggingFace("hf_single");
  const auto files = Read();
  ExpectFixtureWeights(files);
  EXPECT_EQ(files->config.vision.width, 64);
  EXPECT_EQ(files->config.text->context_length, 12);
  EXPECT_EQ(files->config.embed_dim, 32);
}

TEST_F(ModelDirectory, weights_equal_the_fixture_s_when_hugging_face_s_files_are_sharded) {
  MakeHuggingFace("hf_sharded");
  ExpectFixtureWeights(Read());
}

TEST_F(ModelDirectory, the_index_may_not_lead_out_of_the_directory) {
  MakeHuggingFace("hf_sharded");
  for (const char* shard :
       {"../x.safetensors", "/etc/passwd", "..", "", "a\\b", ".hidden", "a/b"}) {
    json index = json::parse(ReadText(kFixtures / "hf_sharded/model.safetensors.index.json"));
    index["weight_map"]["logit_scale"] = shard;
    Write("model.safetensors.index.json", index.dump());
    EXPECT_THAT(Fault(), HasSubstr("plain file name")) << shard;
  }
  Write("model.safetensors.index.json", "{}");
  EXPECT_THAT(Fault(), HasSubstr("weight_map"));
}

TEST_F(ModelDirectory, hugging_face_s_configuration_is_refused_when_the_tower_would_differ) {
  struct Change {
    const char* pointer;
    json value;
    const char* message;
  };
  const Change changes[] = {
      {"/vision_config/hidden_act", "gelu", "hidden_act"},
      {"/text_config/hidden_act", "gelu", "text_config"},
      {"/vision_config/layer_norm_eps", 1e-6, "layer_norm_eps"},
      {"/vision_config/intermediate_size", 128, "intermediate_size"},
      {"/vision_config/num_channels", 1, "num_channels"},
      {"/vision_config/num_attention_heads", 3, "heads"},
      {"/vision_config/hidden_size", "x", "hidden_size"},
      {"/text_config", 7, "text_config"},
  };
  MakeHuggingFace("hf_single");
  const json good = json::parse(ReadText(directory_ / "config.json"));
  for (const Change& change : changes) {
    json config = good;
    config[json::json_pointer(change.pointer)] = change.value;
    Write("config.json", config.dump());
    EXPECT_THAT(Fault(), HasSubstr(change.message)) << change.pointer;
  }
  Write("config.json", good.dump());
  json own = json::parse(ReadText(directory_ / "hfwa.json"));
  own["vision"] = {{"width", 65}};
  Write("hfwa.json", own.dump());
  EXPECT_THAT(Fault(), HasSubstr("vision.width contradicts"));
}

TEST_F(ModelDirectory, a_few_shot_model_is_read_from_hugging_face_s_files_when_text_is_null) {
  MakeHuggingFace("hf_single");
  Write("hfwa.json", R"({"text": null, "taps": [0]})");
  fs::remove(directory_ / "learned.safetensors");
  const auto files = Read();
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_FALSE(files->config.has_language());
  EXPECT_FALSE(files->weights.Has("visual.transformer.resblocks.1.ln_1.weight"));
  EXPECT_TRUE(files->merges.empty());
}

TEST_F(ModelDirectory, no_learnt_file_is_needed_when_nothing_is_learnt) {
  MakeOpenAi();
  fs::remove(directory_ / "learned.safetensors");
  json config = json::parse(ReadText(kFixtures / "config.json"));
  config["model"] = "sparc";
  config["adapter"] = {{"type", "none"}};
  config["prompt"] = {{"type", "fixed"}, {"templates", {"a photo of a {}."}}};
  Write("config.json", config.dump());
  EXPECT_THAT(Fault(), HasSubstr("learned.safetensors"));  // of the text linear
  config["fusion_dim"] = nullptr;
  Write("config.json", config.dump());
  const auto files = Read();
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_TRUE(files->config.has_language());
  EXPECT_FALSE(files->merges.empty());
}

TEST_F(ModelDirectory, the_digest_changes_when_anything_that_counts_does) {
  MakeOpenAi();
  const std::string before = Read()->digest;
  EXPECT_EQ(Read()->digest, before);
  for (const char* name : {"weights.safetensors", "learned.safetensors"}) {
    const std::string good = ReadText(directory_ / name);
    std::string changed = good;
    changed.back() = static_cast<char>(changed.back() ^ 1);
    Write(name, changed);
    EXPECT_NE(Read()->digest, before) << name;
    Write(name, good);
  }
  Write("merges.txt", "#version\na c\n");
  EXPECT_NE(Read()->digest, before);
  Write("merges.txt", "#version\na b\n");
  Write("config.json", ReadText(kFixtures / "config.json") + " ");
  EXPECT_NE(Read()->digest, before);
}

TEST_F(ModelDirectory, the_missing_file_or_tensor_is_named) {
  EXPECT_EQ(Read().status().code(), absl::StatusCode::kNotFound);
  MakeOpenAi();
  for (const char* name :
       {"config.json", "weights.safetensors", "learned.safetensors", "merges.txt"}) {
    fs::rename(directory_ / name, directory_ / "hidden");
    EXPECT_THAT(Fault(), HasSubstr(name));
    fs::rename(directory_ / "hidden", directory_ / name);
  }
  auto tensors = *ReadAllTensors((directory_ / "weights.safetensors").string());
  tensors.erase("visual.proj");
  ASSERT_TRUE(WriteSafetensors((directory_ / "weights.safetensors").string(), tensors).ok());
  EXPECT_THAT(Fault(), HasSubstr("weights.safetensors: no tensor visual.proj"));
  tensors["visual.proj"] = at::full({64, 32}, NAN);
  ASSERT_TRUE(WriteSafetensors((directory_ / "weights.safetensors").string(), tensors).ok());
  EXPECT_THAT(Fault(), HasSubstr("visual.proj holds NaN"));
  MakeHuggingFace("hf_single");
  EXPECT_THAT(Fault(), HasSubstr("which is meant"));
}

// A plain vision transformer with LayerScale, two blocks.
class TimmDirectory : public ModelDirectory {
 protected:
  void SetUp() override {
    ModelDirectory::SetUp();
    Write("config.json",
          R"({"vision": {"width": 8, "layers": 2, "heads": 2, "patch_size": 2, "image_size": 4,
      "pre_norm_layer": false, "quick_gelu": false, "layer_norm_eps": 1e-6, "projection": false}, "taps": [0, 1]})");
    at::manual_seed(5);
    Fill("cls_token", {1, 1, 8});
    Fill("pos_embed", {1, 5, 8});
    Fill("patch_embed.proj.weight", {8, 3, 2, 2});
    Fill("patch_embed.proj.bias", {8});
    for (const std::string block : {"blocks.0.", "blocks.1."}) {
      for (const char* norm : {"norm1", "norm2"}) {
        Fill(block + norm + ".weight", {8});
        Fill(block + norm + ".bias", {8});
      }
      FillLinear(block + "attn.qkv", 24, 8);
      FillLinear(block + "attn.proj", 8, 8);
      FillLinear(block + "mlp.fc1", 32, 8);
      FillLinear(block + "mlp.fc2", 8, 32);
      Fill(block + "ls1.gamma", {8});
      Fill(block + "ls2.gamma", {8});
    }
  }
  void Fill(const std::string& name, at::IntArrayRef shape) { tensors_[name] = at::randn(shape); }
  void FillLinear(const std::string& name, int64_t out, int64_t in) {
    Fill(name + ".weight", {out, in});
    Fill(name + ".bias", {out});
  }
  void Save() {
    ASSERT_TRUE(WriteSafetensors((directory_ / "vit.safetensors").string(), tensors_).ok());
  }

  std::map<std::string, at::Tensor> tensors_;
};

TEST_F(TimmDirectory, layer_scale_and_patch_bias_are_folded) {
  Save();
  const auto files = Read();
  ASSERT_TRUE(files.ok()) << files.status();
  const auto& read = files->weights.tensors();
  const std::string block = "visual.transformer.resblocks.1.";
  EXPECT_TRUE(at::equal(read.at("visual.class_embedding"), tensors_["cls_token"].flatten()));
  const at::Tensor positions = read.at("visual.positional_embedding");
  EXPECT_TRUE(at::equal(positions[0], tensors_["pos_embed"][0][0]));
  EXPECT_TRUE(
      at::equal(positions[4], tensors_["pos_embed"][0][4] + tensors_["patch_embed.proj.bias"]));
  EXPECT_TRUE(
      at::equal(read.at(block + "attn.in_proj_weight"), tensors_["blocks.1.attn.qkv.weight"]));
  EXPECT_TRUE(at::equal(read.at(block + "ln_2.bias"), tensors_["blocks.1.norm2.bias"]));
  const at::Tensor first = tensors_["blocks.1.ls1.gamma"];
  EXPECT_TRUE(at::equal(read.at(block + "attn.out_proj.weight"),
                        tensors_["blocks.1.attn.proj.weight"] * first.unsqueeze(1)));
  EXPECT_TRUE(at::equal(read.at(block + "attn.out_proj.bias"),
                        tensors_["blocks.1.attn.proj.bias"] * first));
  const at::Tensor second = tensors_["blocks.1.ls2.gamma"];
  EXPECT_TRUE(at::equal(read.at(block + "mlp.c_proj.weight"),
                        tensors_["blocks.1.mlp.fc2.weight"] * second.unsqueeze(1)));
  EXPECT_TRUE(
      at::equal(read.at(block + "mlp.c_proj.bias"), tensors_["blocks.1.mlp.fc2.bias"] * second));
}

TEST_F(TimmDirectory, eight_bit_rows_are_widened_by_their_scales) {
  const at::Tensor rows = at::arange(-96, 96, at::kLong).reshape({24, 8}).to(at::kChar);
  const at::Tensor scale = (at::arange(1, 25, at::kFloat) / 64).to(at::kHalf);
  tensors_["blocks.0.attn.qkv.weight"] = rows;
  tensors_["blocks.0.attn.qkv.weight_scale"] = scale;
  Save();
  const auto files = Read();
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_TRUE(
      at::equal(files->weights.tensors().at("visual.transformer.resblocks.0.attn.in_proj_weight"),
                rows.to(at::kFloat) * scale.to(at::kFloat).unsqueeze(1)));
  tensors_["blocks.0.attn.qkv.weight_scale"] = at::ones({8}, at::kHalf);
  Save();
  EXPECT_THAT(Fault(), HasSubstr("does not fit its rows"));
  tensors_.erase("blocks.0.attn.qkv.weight_scale");
  Save();
  EXPECT_THAT(Fault(), HasSubstr("blocks.0.attn.qkv.weight_scale"));
}

TEST_F(TimmDirectory, what_the_tower_does_not_compute_is_refused) {
  Fill("reg_token", {1, 4, 8});
  Save();
  EXPECT_THAT(Fault(), HasSubstr("reg_token"));
  tensors_.erase("reg_token");
  tensors_["pos_embed"] = at::ones({1, 5, 7});
  Save();
  EXPECT_THAT(Fault(), HasSubstr("visual.positional_embedding"));
  Write("config.json",
        R"({"vision": {"width": 8, "layers": 2, "heads": 2, "patch_size": 2, "image_size": 4},
                           "embed_dim": 8, "taps": [0]})");
  EXPECT_THAT(Fault(), HasSubstr("vision.pre_norm_layer"));
}

// A tower that was made for something else, with what a language side needs laid over it.
TEST_F(TimmDirectory, additions_complete_a_plain_tower) {
  Fill("norm.weight", {8});
  Fill("norm.bias", {8});
  Save();
  Write("config.json",
        R"({"vision": {"width": 8, "layers": 2, "heads": 2, "patch_size": 2, "image_size": 4,
      "pre_norm_layer": false, "quick_gelu": false, "layer_norm_eps": 1e-6, "level_projections": true},
      "text": {"width": 8, "layers": 1, "heads": 2, "vocab_size": 515, "context_length": 16}, "embed_dim": 6, "taps": [1, 0],
      "adapter": {"type": "none"}, "fusion_dim": null})");
  EXPECT_THAT(Fault(), HasSubstr("has no visual.proj"));

  const auto frozen_of = [](const ModelConfig& config) {
    std::map<std::string, at::Tensor> ours;
    for (const TensorSpec& spec : RequiredTensors(config)) {
      const bool towers = spec.name.rfind("visual.", 0) == 0 &&
                          spec.name.rfind("visual.proj", 0) != 0 &&
                          spec.name.rfind("visual.level_projections.", 0) != 0;
      if (!towers && spec.name.rfind("prompt_learner.", 0) != 0) {
        ours[spec.name] = at::randn(spec.shape).to(at::kHalf);
      }
    }
    return ours;
  };
  const auto config = ParseModelConfig(ReadText(directory_ / "config.json"));
  ASSERT_TRUE(config.ok()) << config.status();
  std::map<std::string, at::Tensor> ours = frozen_of(*config);
  ASSERT_EQ(ours.at("visual.level_projections.1.weight").sizes(), at::IntArrayRef({6, 8}));
  const std::string path = (directory_ / "additions.safetensors").string();
  ASSERT_TRUE(WriteSafetensors(path, ours).ok());
  ASSERT_TRUE(WriteSafetensors((directory_ / "learned.safetensors").string(),
                               {{"prompt_learner.ctx_pos", at::randn({1, 1, 12, 8})},
                                {"prompt_learner.ctx_neg", at::randn({1, 1, 12, 8})}})
                  .ok());
  Write("merges.txt", "#version\na b\n");
  const auto files = Read();
  ASSERT_TRUE(files.ok()) << files.status();
  const auto& read = files->weights.tensors();
  EXPECT_TRUE(at::equal(read.at("visual.ln_post.bias"), tensors_["norm.bias"]));
  EXPECT_TRUE(at::equal(read.at("visual.level_projections.1.bias"),
                        ours["visual.level_projections.1.bias"].to(at::kFloat)));
  EXPECT_TRUE(at::equal(read.at("text_projection"), ours["text_projection"].to(at::kFloat)));

  // What both files hold is the additions', and nothing of either can change without the digest.
  ours["visual.ln_post.bias"] = at::ones({8});
  ASSERT_TRUE(WriteSafetensors(path, ours).ok());
  const auto changed = Read();
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_TRUE(at::equal(changed->weights.tensors().at("visual.ln_post.bias"), at::ones({8})));
  EXPECT_NE(changed->digest, files->digest);
  ours.erase("visual.level_projections.0.bias");
  ASSERT_TRUE(WriteSafetensors(path, ours).ok());
  EXPECT_THAT(Fault(), HasSubstr("has no visual.level_projections.0.bias"));
}

TEST_F(ModelDirectory, packed_merges_are_unpacked_and_bounded) {
  const auto pack = [&](const std::string& name, const std::string& text) {
    gzFile out = gzopen((directory_ / name).c_str(), "wb");
    ASSERT_EQ(gzwrite(out, text.data(), static_cast<unsigned>(text.size())),
              static_cast<int>(text.size()));
    gzclose(out);
  };
  pack("small.gz", "#version\na b\n");
  EXPECT_EQ(*ReadMerges((directory_ / "small.gz").string()), "#version\na b\n");
  const std::string packed = ReadText(directory_ / "small.gz");
  for (size_t length = 2; length < packed.size(); ++length) {
    Write("cut.gz", packed.substr(0, length));
    EXPECT_FALSE(ReadMerges((directory_ / "cut.gz").string()).ok()) << length;
  }
  Write("longer.gz", packed + "x");
  EXPECT_FALSE(ReadMerges((directory_ / "longer.gz").string()).ok());
  pack("bomb.gz", std::string(65 << 20, 'a'));
  EXPECT_THAT(std::string(ReadMerges((directory_ / "bomb.gz").string()).status().message()),
              HasSubstr("more than"));
}

}  // namespace
}  // namespace hfwa::model
