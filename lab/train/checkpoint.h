#pragma once

#include <map>
#include <string>

#include <ATen/core/Tensor.h>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hfwa::lab::train {

// A run between two updates: tensors (parameters, moments) and all else as JSON, in one safetensors
// file.
struct Checkpoint {
  std::map<std::string, at::Tensor> tensors;  // fp32, on the CPU
  nlohmann::json state;
};

// Replaces `path` at once and durably: after a crash at any instant the file is the old or the new
// one.
absl::Status WriteCheckpoint(const std::string& path, const Checkpoint& checkpoint);

// NOT_FOUND, or INVALID_ARGUMENT if it is not a checkpoint.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path);

// The same for tensors alone, and for text.
absl::Status WriteTensorsDurably(const std::string& path,
                                 const std::map<std::string, at::Tensor>& tensors);
absl::Status WriteTextDurably(const std::string& path, const std::string& text);

}  // namespace hfwa::lab::train
