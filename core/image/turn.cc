#include "core/image/turn.h"

#include <array>
#include <cmath>
#include <cstddef>

namespace hfwa::image {
namespace {

// Cosines of the orientations, exact where pixels move onto pixels.
constexpr double kHalfRoot = 0.70710678118654752440;
constexpr std::array<double, kOrientations> kCosines = {1,  kHalfRoot,  0, -kHalfRoot,
                                                        -1, -kHalfRoot, 0, kHalfRoot};

// Reflects a place into 0..count - 1.
size_t Reflect(int64_t place, int64_t count) {
  if (place >= 0 && place < count) return static_cast<size_t>(place);
  place %= 2 * count;
  if (place < 0) place += 2 * count;
  return static_cast<size_t>(place < count ? place : 2 * count - 1 - place);
}

// Between pixels `first` and `second`, `share` of the way.
struct Place {
  size_t first;
  size_t second;
  double share;
};
Place PlaceOf(double coordinate, int count) {
  const double below = std::floor(coordinate);
  const auto first = static_cast<int64_t>(below);
  return {Reflect(first, count), Reflect(first + 1, count), coordinate - below};
}

}  // namespace

// OpenCV's warps round places to 1/32 of a pixel, too far off beside a hard edge.
Image Turn(const Image& image, int orientation) {
  if (orientation == 0) return image;
  const auto turn = static_cast<size_t>(orientation);
  const double cosine = kCosines[turn];
  const double sine = kCosines[(turn + kOrientations - 2) % kOrientations];
  const double middle_x = 0.5 * (image.width - 1);
  const double middle_y = 0.5 * (image.height - 1);
  const auto width = static_cast<size_t>(image.width);
  Image turned{.width = image.width, .height = image.height, .rgb = {}};
  turned.rgb.resize(image.rgb.size());
  uint8_t* out = turned.rgb.data();
  for (int row = 0; row < image.height; ++row) {
    const double dy = row - middle_y;
    for (int column = 0; column < image.width; ++column, out += 3) {
      // Where this pixel's content was before: turned back.
      const double dx = column - middle_x;
      const Place x = PlaceOf(middle_x + cosine * dx + sine * dy, image.width);
      const Place y = PlaceOf(middle_y - sine * dx + cosine * dy, image.height);
      const auto pixel = [&](size_t place_x, size_t place_y) {
        return image.rgb.data() + 3 * (place_y * width + place_x);
      };
      const uint8_t* const corners[] = {pixel(x.first, y.first), pixel(x.second, y.first),
                                        pixel(x.first, y.second), pixel(x.second, y.second)};
      for (size_t c = 0; c < 3; ++c) {
        const double above = corners[0][c] + x.share * (corners[1][c] - corners[0][c]);
        const double below = corners[2][c] + x.share * (corners[3][c] - corners[2][c]);
        out[c] = static_cast<uint8_t>(std::lround(above + y.share * (below - above)));
      }
    }
  }
  return turned;
}

}  // namespace hfwa::image
