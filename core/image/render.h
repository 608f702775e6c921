#pragma once

// Maps to pictures and regions.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/image/image.h"

namespace hfwa::image {

// A map of floats, row by row.
struct FloatMap {
  int width = 0;
  int height = 0;
  std::vector<float> values;  // width * height
};

// Corner-aligned bilinear resampling (HFWA spec 6.5): output o samples at o * (n - 1) / (m - 1).
FloatMap ResizeMap(const FloatMap& map, int width, int height);

// False colours (OpenCV's TURBO) over low..high, values outside clamped, as RGB.
Image ColorMap(const FloatMap& map, float low, float high);

// The map in false colours over the picture; `opacity` 0..1 is that of the map's largest values,
// small values stay clear. The map is resampled to the picture's size.
Image Overlay(const Image& image, const FloatMap& map, float low, float high, float opacity = 0.6F);

// Encoders. Errors are INTERNAL.
absl::StatusOr<std::string> EncodePng(const Image& image);
// 16-bit grey, low -> 0, high -> 65535, clamped.
absl::StatusOr<std::string> EncodePngGrey16(const FloatMap& map, float low, float high);
// 8-bit or 16-bit grey pixels as a PNG that decodes to the same values.
absl::StatusOr<std::string> EncodePngGrey8(absl::Span<const uint8_t> pixels, int width, int height);
absl::StatusOr<std::string> EncodePngGrey16Pixels(absl::Span<const uint16_t> pixels, int width,
                                                  int height);
// `quality` 1..100.
absl::StatusOr<std::string> EncodeJpeg(const Image& image, int quality);
// At most `side_max` pixels a side, never enlarged.
Image Thumbnail(const Image& image, int side_max);

struct Point {
  int x;
  int y;
};

// A connected place of a map whose values are >= the threshold.
struct Region {
  // Outline through the centres of the outermost pixels, clockwise as seen; at most `points_max`
  // points (never limited below 3), 1 or 2 for a place of one pixel or a straight line.
  std::vector<Point> polygon;
  int x, y, width, height;  // bounding box
  double area;              // pixels
  float peak;
  Point peak_point;
};

// 8-connected regions of at least `area_min` pixels, largest peak first, at most `regions_max`;
// none if memory for the labels runs out.
std::vector<Region> FindRegions(const FloatMap& map, float threshold, double area_min = 1,
                                int regions_max = 64, int points_max = 128);

}  // namespace hfwa::image
