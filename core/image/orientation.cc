// Turning pictures by their EXIF orientation.

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/image/codec.h"

namespace hfwa::image::internal {
namespace {

void MirrorRows(Image& image) {  // left <-> right
  const size_t row_bytes = static_cast<size_t>(image.width) * 3;
  for (int y = 0; y < image.height; ++y) {
    uint8_t* left = image.rgb.data() + static_cast<size_t>(y) * row_bytes;
    uint8_t* right = left + row_bytes - 3;
    for (; left < right; left += 3, right -= 3) std::swap_ranges(left, left + 3, right);
  }
}

void Flip(Image& image) {  // top <-> bottom
  const size_t row_bytes = static_cast<size_t>(image.width) * 3;
  for (int top = 0, bottom = image.height - 1; top < bottom; ++top, --bottom) {
    uint8_t* row = image.rgb.data() + static_cast<size_t>(top) * row_bytes;
    std::swap_ranges(row, row + row_bytes,
                     image.rgb.data() + static_cast<size_t>(bottom) * row_bytes);
  }
}

Image Transpose(const Image& image) {
  Image out{.width = image.height, .height = image.width, .rgb = {}};
  out.rgb.resize(image.rgb.size());
  const size_t width = static_cast<size_t>(image.width);
  const size_t height = static_cast<size_t>(image.height);
  constexpr size_t kBlock = 32;  // both sides of a block stay in the first-level cache
  for (size_t y0 = 0; y0 < height; y0 += kBlock) {
    for (size_t x0 = 0; x0 < width; x0 += kBlock) {
      for (size_t y = y0; y < std::min(y0 + kBlock, height); ++y) {
        for (size_t x = x0; x < std::min(x0 + kBlock, width); ++x) {
          std::memcpy(&out.rgb[(x * height + y) * 3], &image.rgb[(y * width + x) * 3], 3);
        }
      }
    }
  }
  return out;
}

}  // namespace

Image Upright(Image image, int orientation) {
  if (orientation >= 5 && orientation <= 8) image = Transpose(image);
  // What remains after the transposition of 5 to 8: 5 nothing, 6 mirror, 7 both, 8 flip.
  if (orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7) {
    MirrorRows(image);
  }
  if (orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8) Flip(image);
  return image;
}

}  // namespace hfwa::image::internal
