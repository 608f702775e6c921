// Reads a model directory (weights.h).

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/model/frozen_source.h"
#include "core/model/mapped_file.h"
#include "core/model/merges.h"
#include "core/model/safetensors.h"
#include "core/model/weights.h"

namespace hfwa::model {
namespace {

constexpr size_t kMaxConfigBytes = 4 << 20;
constexpr size_t kMaxNamed = 10;
constexpr const char* kMergesNames[] = {"merges.txt", "merges.txt.gz",
                                        "bpe_simple_vocab_16e6.txt.gz"};

absl::Status InFile(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

// The configuration in our terms, as JSON.
absl::StatusOr<std::string> ReadConfigJson(const std::string& directory) {
  HFWA_ASSIGN_OR_RETURN(std::string config,
                        ReadSmallFile(directory + "/config.json", kMaxConfigBytes));
  const std::string own_path = directory + "/hfwa.json";
  if (!FileExists(own_path)) return config;
  HFWA_ASSIGN_OR_RETURN(const std::string own, ReadSmallFile(own_path, kMaxConfigBytes));
  auto merged = MergeHuggingFaceConfig(own, config);
  if (!merged.ok()) return InFile(directory, merged.status());
  return merged;
}

bool IsLearnt(const std::string& name) {
  for (const char* prefix : {"visual_encoder.", "prompt_learner.", "cross_fusion."}) {
    if (name.rfind(prefix, 0) == 0) return true;
  }
  return false;
}

bool LearnsAnything(const ModelConfig& config) {
  const std::vector<TensorSpec> specs = RequiredTensors(config);
  return std::any_of(specs.begin(), specs.end(),
                     [](const TensorSpec& spec) { return IsLearnt(spec.name); });
}

absl::Status ReadFrozen(const ModelConfig& config, const FrozenSource& source, Weights& weights) {
  std::vector<std::string> missing;
  for (const TensorSpec& spec : RequiredTensors(config)) {
    if (IsLearnt(spec.name)) continue;
    auto tensor = source.Read(spec.name);
    if (absl::IsNotFound(tensor.status())) {
      if (missing.size() < kMaxNamed) missing.emplace_back(tensor.status().message());
      continue;
    }
    if (!tensor.ok()) return tensor.status();
    weights.Set(spec.name, *std::move(tensor));
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(missing, "; "));
}

// Covers the configuration, every file that tensors come from, and the merges. Files are hashed
// whole: one pass over the mapping, and no weight can change without it.
class Digest {
 public:
  void Add(const std::string& role, std::string_view bytes) {
    sha_.Update(
        absl::StrCat(role.size(), ":", role, ":", bytes.size(), ":", Sha256Hex(bytes), "\n"));
  }
  std::string Finish() { return sha_.FinishHex(); }

 private:
  Sha256 sha_;
};

// The name of the merges file.
absl::StatusOr<std::string> FindMerges(const std::string& directory) {
  for (const char* name : kMergesNames) {
    if (FileExists(directory + "/" + name)) return name;
  }
  return absl::NotFoundError(absl::StrCat(directory, ": a model with a text section needs one of ",
                                          absl::StrJoin(kMergesNames, ", ")));
}

absl::StatusOr<ModelConfig> ParseIn(const std::string& directory, const std::string& json) {
  auto config = ParseModelConfig(json);
  if (!config.ok()) return InFile(directory + "/config.json", config.status());
  return config;
}

}  // namespace

absl::StatusOr<ModelFiles> ReadModelDirectory(const std::string& directory) {
  ModelFiles files;
  HFWA_ASSIGN_OR_RETURN(files.config_json, ReadConfigJson(directory));
  HFWA_ASSIGN_OR_RETURN(files.config, ParseIn(directory, files.config_json));

  Digest digest;
  digest.Add("config", files.config_json);
  HFWA_ASSIGN_OR_RETURN(const auto source, OpenFrozenSource(directory, files.config));
  HFWA_RETURN_IF_ERROR(ReadFrozen(files.config, *source, files.weights));
  for (const FrozenSource::File& file : source->Files()) digest.Add(file.name, file.bytes);

  if (LearnsAnything(files.config)) {
    HFWA_ASSIGN_OR_RETURN(const auto learnt,
                          SafetensorsFile::Open(directory + "/learned.safetensors"));
    for (const auto& [name, view] : learnt.tensors()) {
      if (!IsLearnt(name)) continue;
      HFWA_ASSIGN_OR_RETURN(at::Tensor tensor, learnt.ReadFp32(name));
      files.weights.Set(name, std::move(tensor));
    }
    digest.Add("learned.safetensors", learnt.bytes());
  }
  if (files.config.has_language()) {
    HFWA_ASSIGN_OR_RETURN(const std::string merges, FindMerges(directory));
    HFWA_ASSIGN_OR_RETURN(files.merges, ReadMerges(directory + "/" + merges));
    digest.Add("merges", files.merges);
  }
  ResolveAliases(files.config, files.weights);
  const absl::Status checked = CheckWeights(files.config, files.weights);
  if (!checked.ok()) return InFile(directory, checked);
  files.digest = digest.Finish();
  return files;
}

absl::StatusOr<FrozenModel> ReadFrozenModel(const std::string& directory) {
  FrozenModel model;
  HFWA_ASSIGN_OR_RETURN(model.config_json, ReadConfigJson(directory));
  HFWA_ASSIGN_OR_RETURN(model.config, ParseIn(directory, model.config_json));
  if (!model.config.has_language()) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory, ": has no text section, so nothing to learn"));
  }
  HFWA_ASSIGN_OR_RETURN(const auto source, OpenFrozenSource(directory, model.config));
  HFWA_RETURN_IF_ERROR(ReadFrozen(model.config, *source, model.weights));
  Digest digest;
  for (const FrozenSource::File& file : source->Files()) {
    digest.Add(file.name, file.bytes);
    model.files.push_back(file.name);
  }
  model.digest = digest.Finish();
  HFWA_ASSIGN_OR_RETURN(const std::string merges, FindMerges(directory));
  HFWA_ASSIGN_OR_RETURN(model.merges, ReadMerges(directory + "/" + merges));
  model.files.push_back(merges);
  return model;
}

}  // namespace hfwa::model
