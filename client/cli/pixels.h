#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace hfwa::cli {

// 8-bit RGB, row by row.
struct Pixels {
  uint32_t width = 0;
  uint32_t height = 0;
  std::vector<uint8_t> rgb;
};

// PNG and JPEG files of `pixels`, whose sides are 1 to 16384.
absl::StatusOr<std::string> EncodePng(const Pixels& pixels);
std::string EncodeJpeg(const Pixels& pixels, int quality);

}  // namespace hfwa::cli
