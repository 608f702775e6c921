#pragma once

// METHOD.safetensors in a model directory: what hfwa-train learnt for a method other than HFWA,
// over the directory's frozen weights. Server and client know nothing of it.

#include <map>
#include <string>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/model/config.h"
#include "core/model/weights.h"

namespace hfwa::lab {

// How the frozen vision tower is run and tapped.
std::string VisionFingerprint(const model::ModelConfig& config);

// What such a file belongs to: 64 hexadecimal digits over the frozen weights and how they are run.
std::string LearntOver(const model::ModelConfig& config, const std::string& frozen_digest);

std::string LearntFileName(const std::string& method);
// The tensors and, under a name that no tensor has, what they belong to.
std::map<std::string, at::Tensor> ForLearntFile(std::map<std::string, at::Tensor> tensors,
                                                const std::string& learnt_over);
// Tensors as they were written. FAILED_PRECONDITION where the file is absent, naming the command
// that makes it, or belongs to other weights; INVALID_ARGUMENT where it is damaged.
absl::StatusOr<std::map<std::string, at::Tensor>> ReadLearntFile(const std::string& directory,
                                                                 const std::string& method,
                                                                 const std::string& learnt_over);

}  // namespace hfwa::lab
