#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace hfwa::cli {

// A PNG of `picture` (a JPEG or PNG file), upright, with `heatmap` (the server's coloured PNG in
// the upright picture's shape, enlarged where it is smaller) laid over it. UNIMPLEMENTED for other
// formats; INVALID_ARGUMENT if either cannot be read or has more than 40 megapixels.
absl::StatusOr<std::string> MakeOverlay(const std::string& picture, const std::string& heatmap);

}  // namespace hfwa::cli
