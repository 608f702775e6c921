#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/model/hfwa.h"
#include "lab/report.h"

namespace hfwa::lab {

// Compares a model directory of published weights with tokens that were computed independently on a
// made-up picture. Known: dinov2-small-b6-i8. NOT_FOUND for other names or when none of the blocks
// compared is tapped.
absl::StatusOr<Report> CheckWeightsOf(const std::string& directory,
                                      const model::HfwaOptions& options);

}  // namespace hfwa::lab
