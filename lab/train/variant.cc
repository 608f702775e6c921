#include "lab/train/variant.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/config.h"
#include "lab/train/prompt_sets.h"

namespace hfwa::lab::train {
namespace {

using nlohmann::json;

absl::Status SetPrompts(const VariantOptions& options, json& root) {
  json& prompt = root["prompt"];
  // What fixtures and other programs note there describes the old prompts.
  for (const char* key : {"strings_normal", "strings_anomaly", "token_ids_of_words"})
    prompt.erase(key);
  if (!options.class_names.empty()) prompt["class_names"] = options.class_names;
  if (options.prompts.empty()) return absl::OkStatus();
  const bool fixed = options.prompts == "fixed";
  prompt["type"] = fixed ? "fixed" : "learned";
  if (fixed) {
    root["model"] = "sparc";
    prompt["states_normal"] = FixedStatesNormal();
    prompt["states_anomaly"] = FixedStatesAnomaly();
    prompt["templates"] = FixedTemplates();
    return absl::OkStatus();
  }
  prompt.erase("templates");
  if (options.prompts == "template") {
    prompt["states_normal"] = SceneStatesNormal();
    prompt["states_anomaly"] = SceneStatesAnomaly();
  } else if (options.prompts == "learned") {
    prompt.erase("states_normal");
    prompt.erase("states_anomaly");
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("prompts '", options.prompts, "' are none of learned, template, fixed"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> VariantConfig(const std::string& base_json,
                                          const VariantOptions& options) {
  json root = json::parse(base_json, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) return absl::InvalidArgumentError("the configuration is not JSON");
  for (const char* part : {"adapter", "prompt", "visual_encoder"}) {
    if (!root.contains(part) || !root[part].is_object()) root[part] = json::object();
  }
  if (!options.name.empty()) root["name"] = options.name;
  if (!options.adapter.empty()) root["adapter"]["type"] = options.adapter;
  if (options.attn_drop.has_value()) root["adapter"]["attn_drop"] = *options.attn_drop;
  if (options.share_adapter) root["share_weight"] = true;
  if (options.residual && options.value_tokens) {
    return absl::InvalidArgumentError("adapters feed back into one path: not beside value tokens");
  }
  if (options.residual) root["visual_encoder"]["type"] = "residual";
  if (options.value_tokens) root["visual_encoder"]["type"] = "value";
  if (options.no_text_linear) root["fusion_dim"] = nullptr;
  if (options.gamma.has_value()) root["visual_encoder"]["gamma"] = *options.gamma;
  HFWA_RETURN_IF_ERROR(SetPrompts(options, root));
  std::string text = root.dump(2, ' ', false, json::error_handler_t::replace);
  HFWA_ASSIGN_OR_RETURN(const model::ModelConfig config, model::ParseModelConfig(text));
  if (options.share_adapter && config.adapter.type != model::AdapterConfig::Type::kLinear) {
    return absl::InvalidArgumentError(
        "one adapter for all levels: only linear adapters can be shared");
  }
  if (config.adapter.type == model::AdapterConfig::Type::kNone && !config.text_linear &&
      config.prompt.type == model::PromptConfig::Type::kFixed) {
    return absl::InvalidArgumentError(
        "there is nothing to learn: no adapters, no contexts and no text linear");
  }
  if (options.gamma.has_value() && !config.residual_encoder) {
    return absl::InvalidArgumentError("gamma is of the residual encoder alone");
  }
  return text + "\n";
}

}  // namespace hfwa::lab::train
