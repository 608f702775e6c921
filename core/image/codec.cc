#include "core/image/codec.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace hfwa::image::internal {

absl::Status CheckSize(std::string_view format, int64_t width, int64_t height,
                       const Limits& limits) {
  if (width <= 0 || height <= 0) {
    return Invalid(ToAbsl(format), " says ", width, " x ", height, " pixels");
  }
  if (width > limits.side_max || height > limits.side_max) {
    return Invalid(ToAbsl(format), " of ", width, " x ", height,
                   " pixels; a side may have at most ", limits.side_max);
  }
  if (width * height > limits.pixels_max) {
    return Invalid(ToAbsl(format), " of ", width, " x ", height, " pixels; at most ",
                   limits.pixels_max, " are allowed");
  }
  return absl::OkStatus();
}

absl::StatusOr<Image> NewImage(std::string_view format, int64_t width, int64_t height,
                               const Limits& limits) {
  HFWA_RETURN_IF_ERROR(CheckSize(format, width, height, limits));
  Image image{.width = static_cast<int>(width), .height = static_cast<int>(height), .rgb = {}};
  try {
    image.rgb.resize(static_cast<size_t>(width * height * 3));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for a picture of ", width, " x ", height, " pixels"));
  }
  return image;
}

void GreyToRgb(const uint8_t* grey, int64_t count, uint8_t* rgb) {
  for (int64_t i = 0; i < count; ++i) {
    rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = grey[i];
  }
}

Palette GreyRamp() {
  Palette palette;
  for (int i = 0; i < 256; ++i) std::fill_n(palette.rgb[i], 3, static_cast<uint8_t>(i));
  return palette;
}

void PaletteToRgb(const uint8_t* indices, int64_t count, const Palette& palette, uint8_t* rgb) {
  for (int64_t i = 0; i < count; ++i) std::memcpy(rgb + 3 * i, palette.rgb[indices[i]], 3);
}

void CmykToRgb(const uint8_t* cmyk, int64_t count, uint8_t* rgb) {
  for (int64_t i = 0; i < count; ++i) {
    const int white = 255 - cmyk[4 * i + 3];
    for (int c = 0; c < 3; ++c) {
      const int t = cmyk[4 * i + c] * white + 128;
      rgb[3 * i + c] = static_cast<uint8_t>(std::clamp(white - (((t >> 8) + t) >> 8), 0, 255));
    }
  }
}

}  // namespace hfwa::image::internal
