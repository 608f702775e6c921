#include "core/model/config.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/json_fields.h"

namespace hfwa::model {
namespace {

using nlohmann::json;

constexpr double kMaxLevelWeight = 1000.0;
constexpr int64_t kMaxSize = 65536;
constexpr int64_t kMaxLayers = 256;
constexpr size_t kMaxTaps = 64;
constexpr size_t kMaxHidden = 16;
constexpr size_t kMaxTexts = 1024;
constexpr size_t kMaxTextBytes = 1024;
constexpr int kClipHeadWidth = 64;  // spec 2: heads = width / 64

// Heads default to CLIP's rule and divide the width.
int ReadHeads(JsonFields& fields, int width, std::optional<int64_t> fallback) {
  const int heads = static_cast<int>(fields.Int("heads", 1, kMaxSize, fallback));
  if (fields.ok() && width % heads != 0) {
    fields.Fail("heads", absl::StrCat(heads, " do not divide the width ", width));
  }
  return heads;
}

absl::Status ReadVision(const json* object, VisionConfig& vision) {
  JsonFields fields(object, "vision");
  vision.width = static_cast<int>(fields.Int("width", 1, kMaxSize));
  vision.layers = static_cast<int>(fields.Int("layers", 1, kMaxLayers));
  vision.heads = ReadHeads(fields, vision.width, std::max(1, vision.width / kClipHeadWidth));
  vision.patch_size = static_cast<int>(fields.Int("patch_size", 1, kMaxSize));
  vision.image_size = static_cast<int>(fields.Int("image_size", 1, kMaxSize));
  vision.pre_norm_layer = fields.Bool("pre_norm_layer", true);
  vision.quick_gelu = fields.Bool("quick_gelu", true);
  vision.layer_norm_eps = fields.Number("layer_norm_eps", 1e-12, 0.1, 1e-5);
  vision.projection = fields.Bool("projection", true);
  vision.level_projections = fields.Bool("level_projections", false);
  if (fields.ok() && vision.image_size % vision.patch_size != 0) {
    fields.Fail("image_size", absl::StrCat(vision.image_size, " is not a multiple of patch_size ",
                                           vision.patch_size));
  }
  if (fields.ok() && int64_t{vision.grid()} * vision.grid() > kMaxSize) {
    fields.Fail("image_size", absl::StrCat("gives more than ", kMaxSize, " patches"));
  }
  return fields.Finish();
}

absl::Status ReadText(const json* object, TextConfig& text) {
  JsonFields fields(object, "text");
  text.width = static_cast<int>(fields.Int("width", 1, kMaxSize));
  text.layers = static_cast<int>(fields.Int("layers", 1, kMaxLayers));
  text.heads = ReadHeads(fields, text.width, std::max(1, text.width / kClipHeadWidth));
  text.vocab_size = static_cast<int>(fields.Int("vocab_size", 3, kMaxSize));
  text.context_length = static_cast<int>(fields.Int("context_length", 3, kMaxSize));
  return fields.Finish();
}

absl::Status ReadEncoder(const json* object, ModelConfig& config) {
  JsonFields fields(object, "visual_encoder");
  const std::string type = fields.Text("type", "map");
  if (type != "map" && type != "residual" && type != "value") {
    fields.Fail("type", absl::StrCat("must be map, residual or value, not ", type));
  }
  config.residual_encoder = type == "residual";
  config.value_encoder = type == "value";
  config.gamma = fields.Number("gamma", 0.0, 1.0, 0.1);
  return fields.Finish();
}

absl::Status ReadAdapter(const json* object, AdapterConfig& adapter) {
  JsonFields fields(object, "adapter");
  const std::string type = fields.Text("type", "fwa");
  if (type == "fwa") {
    adapter.type = AdapterConfig::Type::kFwa;
  } else if (type == "linear") {
    adapter.type = AdapterConfig::Type::kLinear;
  } else if (type == "none") {
    adapter.type = AdapterConfig::Type::kNone;
  } else {
    fields.Fail("type", absl::StrCat("must be fwa, linear or none, not ", type));
  }
  adapter.window = static_cast<int>(fields.Int("window", 2, kMaxSize, 12));
  adapter.depth = static_cast<int>(fields.Int("depth", 1, kMaxLayers, 1));
  adapter.heads = static_cast<int>(fields.Int("heads", 1, kMaxSize, 8));
  adapter.cpb_dim = static_cast<int>(fields.Int("cpb_dim", 1, kMaxSize, 64));
  adapter.value_only = fields.Bool("value_only", true);
  for (const int64_t size : fields.Ints("hidden", 1, kMaxSize, kMaxHidden)) {
    adapter.hidden.push_back(static_cast<int>(size));
  }
  adapter.drop = fields.Number("drop", 0.0, 0.999, 0.0);
  adapter.attn_drop = fields.Number("attn_drop", 0.0, 0.999, 0.1);
  return fields.Finish();
}

// The reference formats prompts with Python's str.format and one argument: one "{}" and no other
// brace.
bool HasOnePlaceholder(const std::string& text) {
  const size_t at = text.find("{}");
  return at != std::string::npos && text.find('{') == at && text.rfind('{') == at &&
         text.find('}') == at + 1 && text.rfind('}') == at + 1;
}

void CheckTexts(JsonFields& fields, const char* key, const std::vector<std::string>& texts,
                bool placeholder) {
  if (texts.empty()) fields.Fail(key, "must not be empty");
  for (const std::string& text : texts) {
    if (text.empty() || text.size() > kMaxTextBytes) {
      fields.Fail(key, absl::StrCat("each text has 1 to ", kMaxTextBytes, " bytes"));
    } else if (placeholder && !HasOnePlaceholder(text)) {
      fields.Fail(key, absl::StrCat("\"", text, "\" must hold one {} and no other brace"));
    }
  }
}

absl::Status ReadPrompt(const json* object, PromptConfig& prompt) {
  JsonFields fields(object, "prompt");
  const std::string type = fields.Text("type", "learned");
  if (type != "learned" && type != "fixed") {
    fields.Fail("type", absl::StrCat("must be learned or fixed, not ", type));
  }
  const bool fixed = type == "fixed";
  prompt.type = fixed ? PromptConfig::Type::kFixed : PromptConfig::Type::kLearned;
  prompt.length = static_cast<int>(fields.Int("length", 1, kMaxSize, 12));
  prompt.class_names = fields.Texts("class_names", {"object"}, kMaxTexts);
  prompt.states_normal = fields.Texts("states_normal", {"{}"}, kMaxTexts);
  prompt.states_anomaly = fields.Texts("states_anomaly", {"damaged {}"}, kMaxTexts);
  prompt.templates = fields.Texts("templates", {}, kMaxTexts);
  CheckTexts(fields, "class_names", prompt.class_names, /*placeholder=*/false);
  CheckTexts(fields, "states_normal", prompt.states_normal, /*placeholder=*/true);
  CheckTexts(fields, "states_anomaly", prompt.states_anomaly, /*placeholder=*/true);
  if (fixed) CheckTexts(fields, "templates", prompt.templates, /*placeholder=*/true);
  if (!fixed && !prompt.templates.empty()) {
    fields.Fail("templates", "are for fixed prompts only");
  }
  const std::set<std::string> names(prompt.class_names.begin(), prompt.class_names.end());
  if (names.size() != prompt.class_names.size()) fields.Fail("class_names", "has a name twice");
  const uint64_t rows = uint64_t{prompt.class_names.size()} *
                        (prompt.states_normal.size() + prompt.states_anomaly.size()) *
                        std::max<size_t>(1, prompt.templates.size());
  if (rows > static_cast<uint64_t>(kMaxSize)) {
    fields.Fail("class_names",
                absl::StrCat("with states and templates give more than ", kMaxSize, " prompts"));
  }
  return fields.Finish({"strings_normal", "strings_anomaly", "token_ids_of_words"});
}

void ReadTaps(JsonFields& fields, ModelConfig& config) {
  const int layers = config.vision.layers;
  for (int64_t tap : fields.Ints("taps", -layers, layers - 1, kMaxTaps)) {
    if (tap < 0 && config.residual_encoder) {
      fields.Fail("taps", "must not be negative where visual_encoder.type is residual");
    }
    config.taps.push_back(static_cast<int>(tap < 0 ? tap + layers : tap));
  }
  if (!fields.ok()) return;
  if (config.taps.empty()) fields.Fail("taps", "is absent or empty");
  if (std::set<int>(config.taps.begin(), config.taps.end()).size() != config.taps.size()) {
    fields.Fail("taps", "names a block twice");
  }
  if (config.residual_encoder && !std::is_sorted(config.taps.begin(), config.taps.end())) {
    fields.Fail("taps", "must ascend where visual_encoder.type is residual");
  }
}

void ReadLevelWeights(JsonFields& fields, const json* list, ModelConfig& config) {
  if (!fields.Has("level_weights")) return;
  bool fits = list != nullptr && list->is_array() && list->size() == config.taps.size();
  for (size_t i = 0; fits && i < config.taps.size(); ++i) {
    const json& item = (*list)[i];
    fits = item.is_number() && item.get<double>() >= 0.0 && item.get<double>() <= kMaxLevelWeight;
    if (fits) config.level_weights.push_back(item.get<float>());
  }
  if (!fits || std::count(config.level_weights.begin(), config.level_weights.end(), 0.0F) ==
                   static_cast<ptrdiff_t>(config.taps.size())) {
    fields.Fail("level_weights", "must be a number from 0 to 1000 for each tap, not all 0");
  }
}

// A profile of product_levels: windows by taps.
ProductLevels::Profile ReadProfile(JsonFields& fields, const json& section, const char* key,
                                   size_t taps) {
  ProductLevels::Profile profile;
  const json* windows = section.contains(key) ? &section[key] : nullptr;
  bool fits = windows != nullptr && windows->is_array() && windows->size() == profile.size();
  bool any = false;
  for (size_t window = 0; fits && window < profile.size(); ++window) {
    const json& list = (*windows)[window];
    fits = list.is_array() && list.size() == taps;
    for (size_t i = 0; fits && i < taps; ++i) {
      fits = list[i].is_number() && list[i].get<double>() >= 0.0 &&
             list[i].get<double>() <= kMaxLevelWeight;
      if (fits) profile[window].push_back(list[i].get<float>());
      any = any || (fits && profile[window].back() > 0);
    }
  }
  if (!fits || !any)
    fields.Fail(key, "must be three lists of a number from 0 to 1000 for each tap, not all 0");
  return profile;
}

absl::Status ReadProductLevels(const json* section, ModelConfig& config) {
  JsonFields fields(section, "product_levels");
  ProductLevels& levels = config.product_levels.emplace();
  levels.object = ReadProfile(fields, *section, "object", config.taps.size());
  levels.texture = ReadProfile(fields, *section, "texture", config.taps.size());
  levels.texture_to = fields.Number("texture_to", 0.1, 100.0, levels.texture_to);
  levels.object_from = fields.Number("object_from", 0.1, 100.0, levels.object_from);
  if (!(levels.texture_to < levels.object_from))
    fields.Fail("object_from", "must be more than texture_to");
  if (!config.level_weights.empty()) fields.Fail("object", "and level_weights exclude each other");
  return fields.Finish({"object", "texture"});
}

std::array<float, 3> ReadChannels(JsonFields& fields, const char* key, const json* list, double low,
                                  double high, std::array<float, 3> fallback) {
  if (!fields.Has(key)) return fallback;
  std::array<float, 3> channels = fallback;
  bool fits = list != nullptr && list->is_array() && list->size() == 3;
  for (size_t i = 0; fits && i < 3; ++i) {
    const json& item = (*list)[i];
    fits = item.is_number() && item.get<double>() >= low && item.get<double>() <= high;
    if (fits) channels[i] = static_cast<float>(item.get<double>());
  }
  if (!fits) fields.Fail(key, absl::StrCat("must be three numbers from ", low, " to ", high));
  return channels;
}

// What must hold between sections once each was read.
absl::Status CheckLanguage(const ModelConfig& config) {
  const auto fail = [](const auto&... parts) {
    return absl::InvalidArgumentError(absl::StrCat(parts...));
  };
  if (!config.has_language()) {
    if (config.residual_encoder) {
      return fail("visual_encoder.type residual needs adapters, so a text section");
    }
    if (config.value_encoder) {
      return fail("visual_encoder.type value needs ln_post, so a text section");
    }
    return absl::OkStatus();
  }
  const VisionConfig& vision = config.vision;
  if (!vision.projection) return fail("text needs vision.projection: both sides meet in embed_dim");
  if (config.residual_encoder && config.adapter.type == AdapterConfig::Type::kNone) {
    return fail("visual_encoder.type residual needs adapters, not adapter.type none");
  }
  if (config.adapter.type == AdapterConfig::Type::kFwa) {
    const int window = config.effective_window();
    if (window < 2)
      return fail("adapter.window: the grid of ", vision.grid(), " leaves no window over 1");
    if (vision.grid() % window != 0) {
      return fail("adapter.window: ", window, " does not divide the grid of ", vision.grid());
    }
    if (vision.width % config.adapter.heads != 0) {
      return fail("adapter.heads: ", config.adapter.heads, " do not divide vision.width ",
                  vision.width);
    }
  }
  if (config.prompt.type == PromptConfig::Type::kFixed && !config.sparc) {
    return fail("prompt.type fixed needs model sparc");
  }
  if (config.prompt.type == PromptConfig::Type::kLearned &&
      config.prompt.length + 3 > config.text->context_length) {
    return fail("prompt.length: ", config.prompt.length,
                " leaves no room for a prompt in text.context_length ",
                config.text->context_length);
  }
  return absl::OkStatus();
}

absl::Status ReadTop(const json& root, ModelConfig& config) {
  JsonFields fields(&root, "");
  config.name = fields.Text("name", "");
  if (config.name.size() > kMaxTextBytes) fields.Fail("name", "is too long");
  const std::string model = fields.Text("model", "anomaly_clip");
  if (model != "anomaly_clip" && model != "sparc") {
    fields.Fail("model", absl::StrCat("must be anomaly_clip or sparc, not ", model));
  }
  config.sparc = model == "sparc";
  if (!fields.Has("vision")) fields.Fail("vision", "is absent");
  const json* vision = fields.Object("vision");
  const json* text = fields.Object("text");
  const json* encoder = fields.Object("visual_encoder");
  const json* adapter = fields.Object("adapter");
  const json* prompt = fields.Object("prompt");
  if (!fields.ok()) return fields.Finish();

  HFWA_RETURN_IF_ERROR(ReadVision(vision, config.vision));
  if (text != nullptr) HFWA_RETURN_IF_ERROR(ReadText(text, config.text.emplace()));
  HFWA_RETURN_IF_ERROR(ReadEncoder(encoder, config));
  HFWA_RETURN_IF_ERROR(ReadAdapter(adapter, config.adapter));
  HFWA_RETURN_IF_ERROR(ReadPrompt(prompt, config.prompt));

  const bool projection = config.vision.projection || config.vision.level_projections;
  config.embed_dim = static_cast<int>(
      fields.Int("embed_dim", 1, kMaxSize,
                 projection ? std::nullopt : std::optional<int64_t>(config.vision.width)));
  if (fields.ok() && !projection && config.embed_dim != config.vision.width) {
    fields.Fail("embed_dim", "must equal vision.width where vision.projection is false");
  }
  ReadTaps(fields, config);
  ReadLevelWeights(fields, root.contains("level_weights") ? &root["level_weights"] : nullptr,
                   config);
  const json* product_levels = fields.Object("product_levels");
  if (product_levels != nullptr && fields.ok())
    HFWA_RETURN_IF_ERROR(ReadProductLevels(product_levels, config));
  config.share_weight = fields.Bool("share_weight", false);
  config.text_linear = !fields.IsNull("fusion_dim");
  if (fields.Int("fusion_dim", 1, kMaxSize, config.embed_dim) != config.embed_dim) {
    fields.Fail("fusion_dim", absl::StrCat("must be null or equal embed_dim ", config.embed_dim));
  }
  config.temperature = fields.Number("temperature", 1e-4, 1e4, 0.07);
  config.map_size = static_cast<int>(fields.Int("map_size", 1, kMaxSize, config.vision.image_size));
  const bool filter = !fields.IsNull("filter_sigma");
  const double sigma = fields.Number("filter_sigma", 0.01, 256.0, 4.0);
  config.filter_sigma = filter ? std::optional<double>(sigma) : std::nullopt;
  config.mean = ReadChannels(fields, "mean", root.contains("mean") ? &root["mean"] : nullptr, -10.0,
                             10.0, config.mean);
  config.std = ReadChannels(fields, "std", root.contains("std") ? &root["std"] : nullptr, 1e-4,
                            100.0, config.std);
  HFWA_RETURN_IF_ERROR(fields.Finish(
      {"level_weights", "mean", "std", "description", "extends", "seed", "batch", "references",
       "request_classes", "positions", "positions_adapted", "map_stride", "optimizers",
       "lightning_prefix", "learned_tensors", "ignored_keys_in_checkpoint"}));
  return CheckLanguage(config);
}

}  // namespace

int ModelConfig::vision_blocks() const {
  if (has_language() || taps.empty()) return vision.layers;
  return *std::max_element(taps.begin(), taps.end()) + 1;
}

absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view json_text) {
  HFWA_ASSIGN_OR_RETURN(const json root, ParseJsonObject(json_text));
  ModelConfig config;
  HFWA_RETURN_IF_ERROR(ReadTop(root, config));
  return config;
}

}  // namespace hfwa::model
