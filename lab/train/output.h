#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model/weights.h"
#include "core/store/directory_lock.h"

namespace hfwa::lab::train {

// Keeps other processes out of `out`, which is made if it is absent, until the result is gone.
// FAILED_PRECONDITION where `out` is `base`, the frozen model's own directory, or holds what no
// training run made; ALREADY_EXISTS while another run has it.
absl::StatusOr<std::unique_ptr<store::DirectoryLock>> LockOutput(const std::string& base,
                                                                 const std::string& out);

// Needs the lock. Makes `out` hold the new model's configuration and the frozen model's files, as
// hard links where that works, else as copies; what a killed run left half written goes.
// FAILED_PRECONDITION where `out` holds a model of another configuration.
absl::Status PrepareOutput(const std::string& base, const model::FrozenModel& frozen,
                           const std::string& config_json, const std::string& out);

}  // namespace hfwa::lab::train
