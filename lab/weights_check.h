#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/model/hfwa.h"
#include "lab/report.h"

namespace hfwa::lab {

// Compares the frozen vision tower of a model directory, block by block, with tokens that another
// program computed on a made-up picture: pixel(c, y, x) = ((7y + 13x + 29c) mod 256) / 255,
// normalised as the model says. What lies above the tower (projections, taps, a language side)
// plays no part. Blocks that the directory does not load are skipped. `tokens_path`, JSON:
//   token_tolerance, magnitude_tolerance  largest absolute differences
//   positions  rows compared, from 0; row 0 is the class token, patches follow row by row
//   blocks     {"3": {"tokens": [the first values of each position's row], "magnitude": M}}, blocks
//              counted from 1; M is the mean absolute value of all patch tokens, may be absent
// NOT_FOUND or INVALID_ARGUMENT names the file.
absl::StatusOr<Report> CheckWeightsOf(const std::string& directory, const std::string& tokens_path,
                                      const model::HfwaOptions& options);

}  // namespace hfwa::lab
