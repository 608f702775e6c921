#pragma once

// Weights and pictures made from names and a seed, bit for bit as the parity fixtures' recipe makes
// them (parity README, "Recipe"). So a model of any size, and pictures with a defect, need no
// download.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model/config.h"
#include "core/model/weights.h"

namespace hfwa::lab {

// The recipe's random bits: `index` is the row-major place of an element.
uint64_t SeededKey(std::string_view name, uint64_t seed);
uint64_t SeededBits(std::string_view name, uint64_t seed, uint64_t index);

// One tensor of a model, fp32; INVALID_ARGUMENT for a name that the recipe does not cover.
absl::StatusOr<at::Tensor> SeededTensor(const std::string& name, const std::vector<int64_t>& shape,
                                        uint64_t seed);

// All that the configuration needs (RequiredTensors).
model::Weights SeededWeights(const model::ModelConfig& config, uint64_t seed);

// [3, size, size] fp32, normalised; `name` is image.K or reference.K.
at::Tensor SeededImage(const std::string& name, int size, uint64_t seed, bool defect);

// PREFIX.0 to PREFIX.(count - 1) in the configuration's size: [count, 3, S, S]. Even ones have a
// defect where the prefix is "image".
at::Tensor SeededImages(const model::ModelConfig& config, uint64_t seed, const std::string& prefix,
                        int count);

// Writes a directory that ReadModelDirectory reads: config.json as given, weights.safetensors and,
// with a language side, learned.safetensors and merges.txt with the given contents.
absl::Status WriteSeededModel(const std::string& config_json, uint64_t seed,
                              const std::string& merges, const std::string& directory);

}  // namespace hfwa::lab
