#include "core/model/frozen_source.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "core/model/safetensors.h"

namespace hfwa::model {
namespace {

constexpr char kOpenAi[] = "weights.safetensors";
constexpr char kHuggingFace[] = "model.safetensors";
constexpr char kHuggingFaceIndex[] = "model.safetensors.index.json";
constexpr char kTimm[] = "vit.safetensors";

class OpenAiSource final : public FrozenSource {
 public:
  explicit OpenAiSource(SafetensorsFile file) : file_(std::move(file)) {}
  absl::StatusOr<at::Tensor> Read(const std::string& name) const override {
    return file_.ReadFp32(name);
  }
  std::vector<File> Files() const override { return {{kOpenAi, file_.bytes()}}; }

 private:
  SafetensorsFile file_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<FrozenSource>> OpenOpenAiSource(const std::string& path) {
  HFWA_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
  return std::make_unique<OpenAiSource>(std::move(file));
}

absl::StatusOr<std::unique_ptr<FrozenSource>> OpenFrozenSource(const std::string& directory,
                                                               const ModelConfig& config) {
  std::vector<std::string> present;
  for (const char* name : {kOpenAi, kHuggingFace, kHuggingFaceIndex, kTimm}) {
    std::error_code ignored;
    if (std::filesystem::exists(directory + "/" + name, ignored)) present.emplace_back(name);
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

}  // namespace hfwa::model
