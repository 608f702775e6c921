#pragma once

// The model's configuration: hfwa-spec section 2, field by field. No size is hard-coded anywhere
// else.

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace hfwa::model {

struct VisionConfig {
  int width = 0;
  int layers = 0;
  int heads = 0;
  int patch_size = 0;
  int image_size = 0;
  // What differs between CLIP's tower and a plain vision transformer (timm, DINOv2).
  bool pre_norm_layer = true;  // CLIP's ln_pre before the first block
  bool quick_gelu = true;      // else exact (erf) GELU
  double layer_norm_eps = 1e-5;
  bool projection = true;  // CLIP's visual.proj and ln_post; else tokens are used as they are

  int grid() const { return image_size / patch_size; }
  int patches() const { return grid() * grid(); }
};

struct TextConfig {
  int width = 0;
  int layers = 0;
  int heads = 0;
  int vocab_size = 0;
  int context_length = 0;
};

struct AdapterConfig {
  enum class Type { kFwa, kLinear };
  Type type = Type::kFwa;
  int window = 12;
  int depth = 1;
  int heads = 8;
  int cpb_dim = 64;
  bool value_only = true;
  std::vector<int> hidden;  // empty: one linear map
  double drop = 0.0;        // training only, as is attn_drop
  double attn_drop = 0.1;
};

struct PromptConfig {
  enum class Type { kLearned, kFixed };
  Type type = Type::kLearned;
  int length = 12;
  std::vector<std::string> class_names = {"object"};
  std::vector<std::string> states_normal = {"{}"};
  std::vector<std::string> states_anomaly = {"damaged {}"};
  std::vector<std::string> templates;  // kFixed only
};

struct ModelConfig {
  std::string name;
  bool sparc = false;  // `model`: "anomaly_clip" or "sparc"
  int embed_dim = 0;   // E; width of the vision tower where it has no projection
  VisionConfig vision;
  // Absent: a model without language side, few-shot only; adapter, prompt, fusion_dim are unused
  // then.
  std::optional<TextConfig> text;
  std::vector<int> taps;  // resolved to 0..layers-1, level i is taps[i]
  bool residual_encoder = false;
  double gamma = 0.1;
  AdapterConfig adapter;
  bool share_weight = false;
  bool text_linear = true;  // fusion_dim is set
  double temperature = 0.07;
  int map_size = 0;
  std::optional<double> filter_sigma = 4.0;
  PromptConfig prompt;
  std::array<float, 3> mean = {0.48145466F, 0.4578275F, 0.40821073F};
  std::array<float, 3> std = {0.26862954F, 0.26130258F, 0.27577711F};

  int levels() const { return static_cast<int>(taps.size()); }
  bool has_language() const { return text.has_value(); }
};

// Reads config.json (spec 2; besides its names: vision.{pre_norm_layer, quick_gelu, layer_norm_eps,
// projection}, mean, std). Unknown keys are ignored only if fixtures carry them (name, extends,
// seed, batch, ...). INVALID_ARGUMENT names the field that is absent, of the wrong type or out of
// range, or the fields that contradict each other. Limits: any size at most 65536, layers at most
// 256.
absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view json);

}  // namespace hfwa::model
