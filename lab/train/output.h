#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/model/weights.h"

namespace hfwa::lab::train {

// Makes `out` (and out/training) hold the new model's configuration and the frozen model's files,
// as hard links where that works, else as copies. FAILED_PRECONDITION where `out` is the frozen
// model's own directory, or holds another model.
absl::Status PrepareOutput(const std::string& base, const model::FrozenModel& frozen,
                           const std::string& config_json, const std::string& out);

}  // namespace hfwa::lab::train
