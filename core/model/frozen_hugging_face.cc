// Hugging Face's CLIP names to OpenAI's (training spec 8.4).

#include <array>
#include <map>
#include <utility>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/frozen_source.h"
#include "core/model/json_fields.h"
#include "core/model/mapped_file.h"
#include "core/model/safetensors.h"

namespace hfwa::model {
namespace {

using nlohmann::json;

constexpr size_t kMaxIndexBytes = 64 << 20;
constexpr size_t kMaxShards = 1024;

// How one tensor of ours is made of theirs.
struct Origin {
  std::vector<std::string> names;  // several: stacked by rows
  bool transposed = false;
};

struct Renamed {
  const char* openai;
  const char* hugging_face;
};
constexpr std::array<Renamed, 12> kWhole = {{
    {"visual.class_embedding", "vision_model.embeddings.class_embedding"},
    {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"},
    {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"},
    {"visual.ln_pre.weight", "vision_model.pre_layrnorm.weight"},
    {"visual.ln_pre.bias", "vision_model.pre_layrnorm.bias"},
    {"visual.ln_post.weight", "vision_model.post_layernorm.weight"},
    {"visual.ln_post.bias", "vision_model.post_layernorm.bias"},
    {"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"ln_final.weight", "text_model.final_layer_norm.weight"},
    {"ln_final.bias", "text_model.final_layer_norm.bias"},
    {"logit_scale", "logit_scale"},
}};
constexpr std::array<Renamed, 5> kInBlock = {{
    {"ln_1.", "layer_norm1."},
    {"attn.out_proj.", "self_attn.out_proj."},
    {"ln_2.", "layer_norm2."},
    {"mlp.c_fc.", "mlp.fc1."},
    {"mlp.c_proj.", "mlp.fc2."},
}};

bool TakePrefix(std::string_view prefix, std::string_view& text) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

Origin OriginInBlock(const std::string& layer, std::string_view rest) {
  if (TakePrefix("attn.in_proj_", rest)) {
    Origin origin;
    for (const char* part : {"q", "k", "v"}) {
      origin.names.push_back(absl::StrCat(layer, "self_attn.", part, "_proj.", std::string(rest)));
    }
    return origin;
  }
  for (const Renamed& renamed : kInBlock) {
    if (TakePrefix(renamed.openai, rest))
      return {{absl::StrCat(layer, renamed.hugging_face, std::string(rest))}};
  }
  return {};
}

// No names where OpenAI's name is not one of CLIP's.
Origin OriginOf(std::string_view openai) {
  if (openai == "visual.proj") return {{"visual_projection.weight"}, true};
  if (openai == "text_projection") return {{"text_projection.weight"}, true};
  for (const Renamed& renamed : kWhole) {
    if (openai == renamed.openai) return {{renamed.hugging_face}};
  }
  const char* tower = TakePrefix("visual.", openai) ? "vision_model" : "text_model";
  if (!TakePrefix("transformer.resblocks.", openai)) return {};
  const size_t dot = openai.find('.');
  if (dot == std::string_view::npos) return {};
  const std::string layer =
      absl::StrCat(tower, ".encoder.layers.", std::string(openai.substr(0, dot)), ".");
  return OriginInBlock(layer, openai.substr(dot + 1));
}

class HuggingFaceSource final : public FrozenSource {
 public:
  // `shard_of` is empty where there is one file.
  HuggingFaceSource(std::map<std::string, SafetensorsFile> files,
                    std::map<std::string, std::string> shard_of, std::string path)
      : files_(std::move(files)), shard_of_(std::move(shard_of)), path_(std::move(path)) {}

  absl::StatusOr<at::Tensor> Read(const std::string& openai_name) const override {
    const Origin origin = OriginOf(openai_name);
    if (origin.names.empty())
      return absl::NotFoundError(absl::StrCat("CLIP has no tensor ", openai_name));
    std::vector<at::Tensor> parts;
    for (const std::string& name : origin.names) {
      HFWA_ASSIGN_OR_RETURN(parts.emplace_back(), ReadTheirs(name));
    }
    try {
      if (parts.size() > 1) return at::cat(parts, 0);
      return origin.transposed ? parts[0].t().contiguous() : parts[0];
    } catch (const c10::Error& error) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": ", origin.names[0], ": ", error.what_without_backtrace()));
    }
  }

  std::vector<File> Files() const override {
    std::vector<File> files;
    for (const auto& [name, file] : files_) files.push_back({name, file.bytes()});
    return files;
  }

 private:
  absl::StatusOr<at::Tensor> ReadTheirs(const std::string& name) const {
    if (shard_of_.empty()) return files_.begin()->second.ReadFp32(name);
    const auto shard = shard_of_.find(name);
    if (shard == shard_of_.end())
      return absl::NotFoundError(absl::StrCat(path_, ": no tensor ", name));
    return files_.at(shard->second).ReadFp32(name);
  }

  std::map<std::string, SafetensorsFile> files_;
  std::map<std::string, std::string> shard_of_;
  std::string path_;
};

// An index is input: its file names may not lead out of the directory.
bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name.size() <= 255 && name[0] != '.' &&
         name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
}

absl::StatusOr<std::map<std::string, std::string>> ReadWeightMap(const std::string& path) {
  HFWA_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path, kMaxIndexBytes));
  const auto index = ParseJsonObject(text);
  if (!index.ok() || !index->contains("weight_map") || !(*index)["weight_map"].is_object() ||
      (*index)["weight_map"].empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": has no weight_map"));
  }
  std::map<std::string, std::string> shard_of;
  for (const auto& [name, shard] : (*index)["weight_map"].items()) {
    if (!shard.is_string() || !IsPlainFileName(shard.get<std::string>())) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": the shard of ", name, " is not a plain file name"));
    }
    shard_of[name] = shard.get<std::string>();
  }
  return shard_of;
}

// What Hugging Face leaves out of a file when it equals the library's default.
struct TowerDefaults {
  int width;
  int layers;
  int heads;
};

// One of their towers to ours; checks what we do not compute otherwise.
json TowerOf(JsonFields& fields, const TowerDefaults& defaults) {
  json tower;
  const int64_t width = fields.Int("hidden_size", 1, 65536, defaults.width);
  tower["width"] = width;
  tower["layers"] = fields.Int("num_hidden_layers", 1, 256, defaults.layers);
  tower["heads"] = fields.Int("num_attention_heads", 1, 65536, defaults.heads);
  const std::string activation = fields.Text("hidden_act", "quick_gelu");
  if (activation != "quick_gelu")
    fields.Fail("hidden_act", "must be quick_gelu, not " + activation);
  const double eps = fields.Number("layer_norm_eps", 0.0, 1.0, 1e-5);
  if (eps != 1e-5) fields.Fail("layer_norm_eps", "must be 1e-5");
  if (fields.Int("intermediate_size", 1, 4 * 65536, 4 * width) != 4 * width) {
    fields.Fail("intermediate_size", "must be four times hidden_size");
  }
  return tower;
}

// Their other keys (dropout, token ids, versions) change nothing here.
absl::Status FirstError(const JsonFields& fields, const json* object) {
  std::vector<std::string> all;
  if (object != nullptr) {
    for (const auto& [key, value] : object->items()) all.push_back(key);
  }
  return fields.Finish(all);
}

absl::StatusOr<json> DeriveConfig(const json& theirs) {
  JsonFields top(&theirs, "config.json");
  json derived;
  derived["embed_dim"] = top.Int("projection_dim", 1, 65536, 512);
  const json* vision = top.Object("vision_config");
  const json* text = top.Object("text_config");
  HFWA_RETURN_IF_ERROR(FirstError(top, &theirs));

  JsonFields vision_fields(vision, "config.json: vision_config");
  derived["vision"] = TowerOf(vision_fields, {768, 12, 12});
  derived["vision"]["patch_size"] = vision_fields.Int("patch_size", 1, 65536, 32);
  derived["vision"]["image_size"] = vision_fields.Int("image_size", 1, 65536, 224);
  if (vision_fields.Int("num_channels", 1, 65536, 3) != 3)
    vision_fields.Fail("num_channels", "must be 3");
  HFWA_RETURN_IF_ERROR(FirstError(vision_fields, vision));

  JsonFields text_fields(text, "config.json: text_config");
  derived["text"] = TowerOf(text_fields, {512, 12, 8});
  derived["text"]["vocab_size"] = text_fields.Int("vocab_size", 1, 65536, 49408);
  derived["text"]["context_length"] = text_fields.Int("max_position_embeddings", 1, 65536, 77);
  HFWA_RETURN_IF_ERROR(FirstError(text_fields, text));
  return derived;
}

// Fills `ours` from `derived`, one level deep; what both name must agree.
absl::Status FillIn(const json& derived, const std::string& path, json& ours) {
  for (const auto& [key, value] : derived.items()) {
    if (!ours.contains(key)) {
      ours[key] = value;
    } else if (value.is_object() && ours[key].is_object()) {
      HFWA_RETURN_IF_ERROR(FillIn(value, absl::StrCat(path, key, "."), ours[key]));
    } else if (!ours[key].is_null() && ours[key] != value) {
      return absl::InvalidArgumentError(
          absl::StrCat("hfwa.json: ", path, key, " contradicts config.json"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<FrozenSource>> OpenHuggingFaceSource(const std::string& path) {
  HFWA_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
  std::map<std::string, SafetensorsFile> files;
  files.emplace("model.safetensors", std::move(file));
  return std::make_unique<HuggingFaceSource>(std::move(files), std::map<std::string, std::string>(),
                                             path);
}

absl::StatusOr<std::unique_ptr<FrozenSource>> OpenHuggingFaceShards(const std::string& directory,
                                                                    const std::string& index_path) {
  HFWA_ASSIGN_OR_RETURN(auto shard_of, ReadWeightMap(index_path));
  std::map<std::string, SafetensorsFile> files;
  for (const auto& [name, shard] : shard_of) {
    if (files.count(shard) > 0) continue;
    if (files.size() == kMaxShards)
      return absl::InvalidArgumentError(absl::StrCat(index_path, ": too many shards"));
    HFWA_ASSIGN_OR_RETURN(SafetensorsFile file,
                          SafetensorsFile::Open(absl::StrCat(directory, "/", shard)));
    files.emplace(shard, std::move(file));
  }
  return std::make_unique<HuggingFaceSource>(std::move(files), std::move(shard_of), index_path);
}

absl::StatusOr<std::string> MergeHuggingFaceConfig(std::string_view ours, std::string_view theirs) {
  auto merged = ParseJsonObject(ours);
  if (!merged.ok())
    return absl::InvalidArgumentError(absl::StrCat("hfwa.json: ", merged.status().message()));
  const auto parsed = ParseJsonObject(theirs);
  if (!parsed.ok())
    return absl::InvalidArgumentError(absl::StrCat("config.json: ", parsed.status().message()));
  HFWA_ASSIGN_OR_RETURN(const json derived, DeriveConfig(*parsed));
  HFWA_RETURN_IF_ERROR(FillIn(derived, "", *merged));
  return merged->dump(1, ' ', false, json::error_handler_t::replace);
}

}  // namespace hfwa::model
