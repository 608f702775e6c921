#pragma once

// The frozen part of a model in one of the three namings that are in use.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/model/config.h"

namespace hfwa::model {

// Gives tensors by OpenAI's names, one at a time, so that a large file is never in memory twice.
class FrozenSource {
 public:
  struct File {
    std::string name;        // within the directory
    std::string_view bytes;  // mapped as long as the source lives
  };

  virtual ~FrozenSource() = default;
  // fp32; NOT_FOUND names the file and the tensor that it lacks.
  virtual absl::StatusOr<at::Tensor> Read(const std::string& openai_name) const = 0;
  // The files that tensors come from, for the digest.
  virtual std::vector<File> Files() const = 0;
};

// Opens what the directory holds: weights.safetensors (OpenAI's names), model.safetensors or
// model.safetensors.index.json (Hugging Face's), or vit.safetensors (timm's), with
// additions.safetensors (OpenAI's names) laid over it where there is one. INVALID_ARGUMENT when
// it holds more than one of them or the configuration does not fit the naming, NOT_FOUND when it
// holds none.
absl::StatusOr<std::unique_ptr<FrozenSource>> OpenFrozenSource(const std::string& directory,
                                                               const ModelConfig& config);

// The three namings; `path` is the file.
absl::StatusOr<std::unique_ptr<FrozenSource>> OpenOpenAiSource(const std::string& path);
absl::StatusOr<std::unique_ptr<FrozenSource>> OpenHuggingFaceSource(const std::string& path);
absl::StatusOr<std::unique_ptr<FrozenSource>> OpenHuggingFaceShards(const std::string& directory,
                                                                    const std::string& index_path);
absl::StatusOr<std::unique_ptr<FrozenSource>> OpenTimmSource(const std::string& path,
                                                             const ModelConfig& config);

// Our configuration for a Hugging Face CLIP directory: the fields of `ours` (hfwa.json), sizes that
// it leaves out filled in from `theirs` (config.json). INVALID_ARGUMENT when the two disagree, or
// when theirs asks for what the tower does not compute (training spec 8.4: hidden_act quick_gelu,
// layer_norm_eps 1e-5).
absl::StatusOr<std::string> MergeHuggingFaceConfig(std::string_view ours, std::string_view theirs);

}  // namespace hfwa::model
