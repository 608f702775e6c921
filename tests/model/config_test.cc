#include "core/model/config.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/model/weights.h"

namespace hfwa::model {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

json Base() {
  return json::parse(R"({
    "model": "anomaly_clip", "embed_dim": 64,
    "vision": {"width": 128, "layers": 5, "heads": 2, "patch_size": 7, "image_size": 56},
    "text": {"width": 64, "layers": 2, "vocab_size": 200, "context_length": 24},
    "taps": [0, 1, 3, -1],
    "adapter": {"type": "fwa", "window": 4, "heads": 4, "cpb_dim": 16},
    "prompt": {"length": 4}})");
}

std::string Fault(const json& config) {
  const auto parsed = ParseModelConfig(config.dump());
  return parsed.ok() ? "accepted" : std::string(parsed.status().message());
}

std::string FaultWith(const char* pointer, const json& value) {
  json config = Base();
  config[json::json_pointer(pointer)] = value;
  return Fault(config);
}

TEST(Config, defaults_fill_in_when_fields_are_absent) {
  const auto config = ParseModelConfig(Base().dump());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->taps, ElementsAre(0, 1, 3, 4));
  EXPECT_EQ(config->text->heads, 1);
  EXPECT_EQ(config->map_size, 56);
  EXPECT_EQ(config->filter_sigma, 4.0);
  EXPECT_TRUE(config->text_linear);
  EXPECT_EQ(config->effective_window(), 4);
  EXPECT_EQ(config->vision_blocks(), 5);
  EXPECT_THAT(config->prompt.states_anomaly, ElementsAre("damaged {}"));
  EXPECT_FLOAT_EQ(config->mean[0], 0.48145466F);
}

TEST(Config, null_switches_parts_off) {
  json changed = Base();
  changed["fusion_dim"] = nullptr;
  changed["filter_sigma"] = nullptr;
  changed["adapter"]["hidden"] = nullptr;
  const auto config = ParseModelConfig(changed.dump());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->text_linear);
  EXPECT_FALSE(config->filter_sigma.has_value());
  EXPECT_TRUE(config->adapter.hidden.empty());
}

TEST(Config, a_plain_vision_transformer_needs_no_language_side) {
  const auto config = ParseModelConfig(R"({
    "name": "vit", "vision": {"width": 384, "layers": 12, "heads": 6, "patch_size": 14, "image_size": 336,
      "pre_norm_layer": false, "quick_gelu": false, "layer_norm_eps": 1e-6, "projection": false},
    "taps": [2, 5, 8, 10], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->has_language());
  EXPECT_EQ(config->embed_dim, 384);
  EXPECT_EQ(config->vision_blocks(), 11);
  EXPECT_FLOAT_EQ(config->std[2], 0.225F);
}

TEST(Config, levels_can_have_maps_and_weights_of_their_own) {
  json config = Base();
  config["level_weights"] = {0.5, 0, 1, 2};
  config["vision"]["level_projections"] = true;
  const auto read = ParseModelConfig(config.dump());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->level_weights, (std::vector<float>{0.5F, 0, 1, 2}));
  EXPECT_TRUE(read->vision.level_projections);
  // Tokens can be compared in any number of dimensions, with visual.proj or without.
  const auto narrow = ParseModelConfig(R"({
    "vision": {"width": 384, "layers": 12, "heads": 6, "patch_size": 14, "image_size": 336, "projection": false,
      "level_projections": true}, "embed_dim": 256, "taps": [3, 4]})");
  ASSERT_TRUE(narrow.ok()) << narrow.status();
  EXPECT_EQ(narrow->embed_dim, 256);
}

TEST(Config, levels_can_depend_on_the_product) {
  const auto with = [](const char* pointer, const json& value) {
    json config = Base();
    const json profile = {{1, 0, 0, 2}, {0, 0.5, 0, 0}, {0, 0, 0, 0}};
    config["product_levels"] = {{"object", profile}, {"texture", profile}, {"texture_to", 1.05}};
    if (pointer != nullptr) config[json::json_pointer(pointer)] = value;
    return ParseModelConfig(config.dump());
  };
  const auto read = with(nullptr, {});
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_TRUE(read->product_levels.has_value());
  EXPECT_EQ(read->product_levels->object[1], (std::vector<float>{0, 0.5F, 0, 0}));
  EXPECT_EQ(read->product_levels->texture[0], (std::vector<float>{1, 0, 0, 2}));
  EXPECT_EQ(read->product_levels->texture_to, 1.05);
  EXPECT_EQ(read->product_levels->object_from, 1.2);
  const json none = {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}};
  for (const auto& [pointer, value] : std::vector<std::pair<const char*, json>>{
           {"/product_levels/object", none},
           {"/product_levels/object/2", json::array({1})},
           {"/product_levels/texture/0/1", -1},
           {"/product_levels/texture/0/1", "1"},
           {"/product_levels/texture/3", json::array({1, 1, 1, 1})},
           {"/product_levels/texture", 7},
           {"/product_levels/texture_to", 1.3},
           {"/product_levels/other", 1},
           {"/product_levels", json::array()},
           {"/level_weights", json::array({1, 1, 1, 1})}}) {
    EXPECT_THAT(with(pointer, value).status().message(), HasSubstr("product_levels"))
        << pointer << " = " << value;
  }
}

TEST(Config, every_fixture_parses) {
  int count = 0;
  const std::filesystem::path root = std::string(HFWA_SOURCE_DIR) + "/tests/parity/fixtures";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    const std::string parent = entry.path().parent_path().filename();
    if (entry.path().filename() != "config.json" || parent.rfind("hf_", 0) == 0) continue;
    std::ifstream in(entry.path());
    const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    const auto config = ParseModelConfig(text);
    EXPECT_TRUE(config.ok()) << entry.path() << ": " << config.status();
    ++count;
  }
  EXPECT_GE(count, 1);
}

TEST(Config, the_field_is_named_when_it_is_absent_or_out_of_range) {
  for (const char* pointer :
       {"/vision", "/vision/width", "/vision/layers", "/vision/patch_size", "/vision/image_size",
        "/embed_dim", "/taps", "/text/width", "/text/vocab_size", "/text/context_length"}) {
    json config = Base();
    const json::json_pointer at(pointer);
    config[at.parent_pointer()].erase(at.back());
    EXPECT_THAT(Fault(config), HasSubstr(at.back())) << pointer;
    EXPECT_THAT(Fault(config), HasSubstr("absent")) << pointer;
  }
  for (const char* pointer :
       {"/vision/width", "/vision/layers", "/vision/heads", "/vision/patch_size",
        "/vision/image_size", "/text/width", "/text/heads", "/text/layers", "/text/vocab_size",
        "/text/context_length", "/embed_dim", "/adapter/window", "/adapter/depth", "/adapter/heads",
        "/adapter/cpb_dim", "/map_size", "/prompt/length", "/fusion_dim"}) {
    const std::string name = json::json_pointer(pointer).back();
    for (const json& value : {json(0), json(-1), json(1.5), json("7"), json(1 << 20), json(true),
                              json(18446744073709551615ULL), json::array()}) {
      EXPECT_THAT(FaultWith(pointer, value), HasSubstr(name)) << pointer << " = " << value;
    }
  }
}

struct Wrong {
  const char* pointer;
  json value;
  const char* message;
};

TEST(Config, contradictions_are_refused_by_name) {
  const Wrong cases[] = {
      {"/vision/heads", 3, "heads"},
      {"/vision/image_size", 57, "patch_size"},
      {"/vision/image_size", 7, "window"},            // grid 1
      {"/vision/image_size", 63, "does not divide"},  // grid 9, window 4
      {"/vision/patch_size", 1, "accepted"},          // grid 56: 3136 patches
      {"/adapter/window", 12, "accepted"},            // clamped to the grid
      {"/adapter/window", 1, "window"},
      {"/adapter/heads", 5, "adapter.heads"},
      {"/adapter/type", "conv", "adapter.type"},
      {"/adapter/hidden", json::array({0}), "hidden"},
      {"/adapter/hidden", json::array({24, 40}), "accepted"},
      {"/adapter/drop", 1.0, "drop"},
      {"/taps", json::array({0, 5}), "taps"},
      {"/taps", json::array({-6}), "taps"},
      {"/taps", json::array({4, -1}), "twice"},
      {"/taps", json::array({3, 0}), "accepted"},
      {"/taps", json::array(), "taps"},
      {"/taps", "0", "taps"},
      {"/visual_encoder", {{"type", "residual"}}, "negative"},
      {"/visual_encoder", {{"type", "odd"}}, "visual_encoder.type"},
      {"/visual_encoder", {{"gamma", 2}}, "gamma"},
      {"/visual_encoder", 3, "visual_encoder"},
      {"/fusion_dim", 32, "embed_dim"},
      {"/temperature", 0, "temperature"},
      {"/temperature", "x", "temperature"},
      {"/filter_sigma", -4, "filter_sigma"},
      {"/mean", json::array({0, 0}), "mean"},
      {"/std", json::array({0, 1, 1}), "std"},
      {"/std", 1, "std"},
      {"/model", "clip", "model"},
      {"/prompt/type", "fixed", "templates"},
      {"/prompt/length", 22, "context_length"},
      {"/prompt/states_normal", json::array({"fine"}), "states_normal"},
      {"/prompt/states_normal", json::array({"{} {}"}), "states_normal"},
      {"/prompt/states_normal", json::array({"{}}"}), "states_normal"},
      {"/prompt/states_anomaly", json::array(), "states_anomaly"},
      {"/prompt/states_anomaly", json::array({7}), "states_anomaly"},
      {"/prompt/class_names", json::array({"a", "a"}), "twice"},
      {"/prompt/class_names", json::array({""}), "class_names"},
      {"/prompt/templates", json::array({"a {}"}), "fixed prompts only"},
      {"/vision/projection", false, "embed_dim"},
      {"/level_weights", json::array({1}), "level_weights"},
      {"/level_weights", json::array({1, 1, -1, 1}), "level_weights"},
      {"/level_weights", json::array({0, 0, 0, 0}), "level_weights"},
      {"/level_weights", "1", "level_weights"},
      {"/product_levels", json::object(), "product_levels.object"},
      {"/share_weight", 1, "share_weight"},
      {"/taps_", json::array({1}), "taps_: is not a known field"},
      {"/adapter/windows", 4, "adapter.windows: is not a known field"},
  };
  for (const Wrong& wrong : cases) {
    EXPECT_THAT(FaultWith(wrong.pointer, wrong.value), HasSubstr(wrong.message))
        << wrong.pointer << " = " << wrong.value;
  }
}

TEST(Config, reads_value_tokens_and_no_adapters) {
  json changed = Base();
  changed["visual_encoder"]["type"] = "value";
  changed["adapter"]["type"] = "none";
  changed["taps"] = {3, 1};
  auto config = ParseModelConfig(changed.dump());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->value_encoder);
  EXPECT_FALSE(config->residual_encoder);
  EXPECT_EQ(config->adapter.type, AdapterConfig::Type::kNone);
  for (const TensorSpec& spec : RequiredTensors(*config))
    EXPECT_THAT(spec.name, Not(HasSubstr("visual_encoder."))) << "there are no adapters";
  changed.erase("text");
  EXPECT_THAT(Fault(changed), HasSubstr("value needs ln_post"));
  changed = Base();
  changed["visual_encoder"]["type"] = "residual";
  changed["taps"] = {1, 3};
  changed["adapter"]["type"] = "none";
  EXPECT_THAT(Fault(changed), HasSubstr("not adapter.type none"));
}

TEST(Config, a_residual_encoder_wants_ascending_taps) {
  json config = Base();
  config["visual_encoder"] = {{"type", "residual"}, {"gamma", 0.25}};
  config["taps"] = {0, 3, 1};
  EXPECT_THAT(Fault(config), HasSubstr("ascend"));
  config["taps"] = {0, 1, 3};
  EXPECT_EQ(Fault(config), "accepted");
  config.erase("text");
  EXPECT_THAT(Fault(config), HasSubstr("residual"));
}

TEST(Config, text_that_is_no_object_is_refused) {
  for (const char* text : {"", "[]", "{", "7", "null", "{\"vision\": []}"}) {
    EXPECT_FALSE(ParseModelConfig(text).ok()) << text;
  }
}

}  // namespace
}  // namespace hfwa::model
