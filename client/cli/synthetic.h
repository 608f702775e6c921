#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "hfwa/v1/image.pb.h"

namespace hfwa::cli {

// Made-up pictures: stripes and noise, several of each of `sizes` ("640x480"), as "jpeg" or "png"
// files or "raw" RGB pixels. The same for the same seed. INVALID_ARGUMENT for what is no size from
// 1x1 to 40 megapixels.
absl::StatusOr<std::vector<v1::Image>> SyntheticPictures(const std::vector<std::string>& sizes,
                                                         const std::string& format, uint64_t seed);

}  // namespace hfwa::cli
