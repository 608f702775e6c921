#pragma once

#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hfwa::lab {

using Tensors = std::map<std::string, at::Tensor>;

// A folder of the forward fixtures. `extends` in its config.json names the folder whose tensors lie
// below its own; configuration and expected values are never inherited.
struct Fixture {
  std::string config_text;
  nlohmann::json config;
  Tensors weights;  // frozen and learnt; empty if the folder stores none
  Tensors inputs;
  Tensors expected;
};

// NOT_FOUND and INVALID_ARGUMENT name the file.
absl::StatusOr<Fixture> ReadFixture(const std::string& folder);

absl::StatusOr<std::string> ReadFile(const std::string& path);
absl::StatusOr<nlohmann::json> ReadJson(const std::string& path);

}  // namespace hfwa::lab
