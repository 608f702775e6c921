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
  // Each level's patch tokens go through an affine map of their own, and visual.proj through the
  // image feature alone.
  bool level_projections = false;

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
  enum class Type { kFwa, kLinear, kNone };
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

// What levels count where that depends on the product (core/bank/product_levels.h).
struct ProductLevels {
  // For a distance of the patch alone, its mean over 3 x 3 patches, and over 8 x 8: by level.
  using Profile = std::array<std::vector<float>, 3>;
  Profile object, texture;
  // Ratios of halves up to which a product is a texture, and from which an object.
  double texture_to = 1.1;
  double object_from = 1.2;
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
  // What each level's distance to the bank counts in the sum; empty: 1 each, as in the paper.
  std::vector<float> level_weights;
  std::optional<ProductLevels> product_levels;  // then no level_weights
  bool residual_encoder = false;
  bool value_encoder = false;  // tokens come from the path of v-v attention (VisionTower)
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
  // Blocks of the vision tower that anything depends on: all for the image feature, else up to the
  // last tap.
  int vision_blocks() const;
  // The adapters' window side after the clamp to the grid (spec 4.1).
  int effective_window() const {
    return adapter.window < vision.grid() ? adapter.window : vision.grid();
  }
};

// Reads config.json. Keys, with the defaults of those that may be absent:
// clang-format off
//   name ("")  model ("anomaly_clip" | "sparc")  embed_dim (vision.width if there is no projection)
//   vision          width layers heads (width/64) patch_size image_size pre_norm_layer (true)
//                   quick_gelu (true) layer_norm_eps (1e-5) projection (true)
//                   level_projections (false)
//   text            width layers heads (width/64) vocab_size context_length; absent or null:
//                   few-shot only
//   taps            distinct; negative ones count from the end (residual: ascending, none negative)
//   level_weights (1 each)  a number from 0 to 1000 for each tap, not all 0: what its distance to
//                   the references counts
//   product_levels  object, texture: for each of three windows a number from 0 to 1000 for each
//                   tap, not all 0; texture_to (1.1) object_from (1.2); not beside level_weights:
//                   what levels count for a product (core/bank/product_levels.h)
//   visual_encoder  type ("map" | "residual": adapters feed back, spec 8 | "value": tokens of the
//                   path of v-v attention after ln_post, VisionTower::ForwardValues) gamma (0.1)
//   adapter         type ("fwa" | "linear" | "none": tokens are projected as they are) window (12)
//                   depth (1) heads (8) cpb_dim (64) value_only (true) hidden (null) drop (0)
//                   attn_drop (0.1)
//   share_weight (false)  fusion_dim (embed_dim; null: no text linear)  temperature (0.07)
//   map_size (vision.image_size)  filter_sigma (4; null: no filter)
//   prompt          type ("learned" | "fixed") length (12) class_names (["object"])
//                   states_normal (["{}"]) states_anomaly (["damaged {}"]) templates;
//                   each state and template holds one "{}"
//   mean, std       three numbers each (OpenAI CLIP's)
// clang-format on
// and, ignored: description, and what test fixtures carry. Any other key is an error, so that a
// misspelt one does not silently mean its default. INVALID_ARGUMENT names the field that is absent,
// of the wrong type or out of range, or the fields that contradict each other. Limits: any size,
// patches and prompt rows at most 65536 each, layers and depth at most 256, 64 taps.
absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view json);

}  // namespace hfwa::model
