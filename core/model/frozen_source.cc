#include "core/model/frozen_source.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "core/model/mapped_file.h"
#include "core/model/safetensors.h"

namespace hfwa::model {
namespace {

constexpr char kOpenAi[] = "weights.safetensors";
constexpr char kHuggingFace[] = "model.safetensors";
constexpr char kHuggingFaceIndex[] = "model.safetensors.index.json";
constexpr char kTimm[] = "vit.safetensors";
constexpr char kAdditions[] = "additions.safetensors";

class OpenAiSource final : public FrozenSource {
 public:
  OpenAiSource(std::string name, SafetensorsFile file)
      : name_(std::move(name)), file_(std::move(file)) {}
  absl::StatusOr<at::Tensor> Read(const std::string& name) const override {
    return file_.ReadFp32(name);
  }
  std::vector<File> Files() const override { return {{name_, file_.bytes()}}; }

 private:
  std::string name_;
  SafetensorsFile file_;
};

// What `first` lacks comes from `rest`.
class LayeredSource final : public FrozenSource {
 public:
  LayeredSource(std::unique_ptr<FrozenSource> first, std::unique_ptr<FrozenSource> rest)
      : first_(std::move(first)), rest_(std::move(rest)) {}
  absl::StatusOr<at::Tensor> Read(const std::string& name) const override {
    auto tensor = first_->Read(name);
    return absl::IsNotFound(tensor.status()) ? rest_->Read(name) : tensor;
  }
  std::vector<File> Files() const override {
    std::vector<File> files = first_->Files();
    for (const File& file : rest_->Files()) files.push_back(file);
    return files;
  }

 private:
  std::unique_ptr<FrozenSource> first_;
  std::unique_ptr<FrozenSource> rest_;
};

// The one file, or set of shards, that holds the tower.
absl::StatusOr<std::unique_ptr<FrozenSource>> OpenTower(const std::string& directory,
                                                        const ModelConfig& config) {
  std::vector<std::string> present;
  for (const char* name : {kOpenAi, kHuggingFace, kHuggingFaceIndex, kTimm}) {
    if (FileExists(directory + "/" + name)) present.emplace_back(name);
  }
  if (present.empty()) {
    return absl::NotFoundError(absl::StrCat(directory, ": holds none of ", kOpenAi, ", ",
                                            kHuggingFace, ", ", kHuggingFaceIndex, ", ", kTimm));
  }
  if (present.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory, ": holds ", absl::StrJoin(present, " and "), "; which is meant?"));
  }
  const std::string path = directory + "/" + present[0];
  if (present[0] == kTimm) return OpenTimmSource(path, config);
  if (present[0] == kHuggingFace) return OpenHuggingFaceSource(path);
  if (present[0] == kHuggingFaceIndex) return OpenHuggingFaceShards(directory, path);
  return OpenOpenAiSource(path);
}

}  // namespace

absl::StatusOr<std::unique_ptr<FrozenSource>> OpenOpenAiSource(const std::string& path) {
  HFWA_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
  return std::make_unique<OpenAiSource>(std::filesystem::path(path).filename().string(),
                                        std::move(file));
}

absl::StatusOr<std::unique_ptr<FrozenSource>> OpenFrozenSource(const std::string& directory,
                                                               const ModelConfig& config) {
  HFWA_ASSIGN_OR_RETURN(std::unique_ptr<FrozenSource> tower, OpenTower(directory, config));
  const std::string additions = directory + "/" + kAdditions;
  if (!FileExists(additions)) return tower;
  HFWA_ASSIGN_OR_RETURN(std::unique_ptr<FrozenSource> first, OpenOpenAiSource(additions));
  return std::make_unique<LayeredSource>(std::move(first), std::move(tower));
}

}  // namespace hfwa::model
