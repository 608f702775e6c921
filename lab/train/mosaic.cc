#include "lab/train/mosaic.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/image/preprocess.h"

namespace hfwa::lab::train {
namespace {

// The sample whose place the middle of each new one falls into.
std::vector<uint8_t> ResizeNearest(const std::vector<uint8_t>& mask, int width, int height,
                                   int new_width, int new_height) {
  std::vector<uint8_t> resized(static_cast<size_t>(new_width) * new_height);
  for (int y = 0; y < new_height; ++y) {
    const auto from_y = static_cast<int>((2 * int64_t{y} + 1) * height / (2 * int64_t{new_height}));
    for (int x = 0; x < new_width; ++x) {
      const auto from_x = static_cast<int>((2 * int64_t{x} + 1) * width / (2 * int64_t{new_width}));
      resized[static_cast<size_t>(y) * new_width + x] =
          mask[static_cast<size_t>(from_y) * width + from_x];
    }
  }
  return resized;
}

Tile Resized(const Tile& tile, int width, int height) {
  const image::Image& picture = tile.picture;
  if (picture.width == width && picture.height == height) return tile;
  Tile resized;
  resized.anomalous = tile.anomalous;
  resized.picture = image::Resize(picture, width, height, image::Resampling::kBicubic);
  if (!tile.mask.empty())
    resized.mask = ResizeNearest(tile.mask, picture.width, picture.height, width, height);
  return resized;
}

// What lies outside the canvas is cut.
void Paste(const Tile& tile, int left, int top, Mosaic& mosaic) {
  const image::Image& from = tile.picture;
  image::Image& to = mosaic.picture;
  const int width = std::min(from.width, to.width - left);
  const int height = std::min(from.height, to.height - top);
  for (int y = 0; y < height; ++y) {
    const size_t source = static_cast<size_t>(y) * from.width;
    const size_t target = static_cast<size_t>(top + y) * to.width + left;
    std::copy_n(from.rgb.begin() + static_cast<ptrdiff_t>(3 * source), 3 * width,
                to.rgb.begin() + static_cast<ptrdiff_t>(3 * target));
    const auto mask = mosaic.mask.begin() + static_cast<ptrdiff_t>(target);
    if (tile.mask.empty()) {
      std::fill_n(mask, width, uint8_t{0});
    } else {
      std::copy_n(tile.mask.begin() + static_cast<ptrdiff_t>(source), width, mask);
    }
  }
}

}  // namespace

absl::StatusOr<Mosaic> MakeMosaic(const std::array<Tile, 4>& tiles, MosaicKind kind) {
  const int width = tiles[0].picture.width, height = tiles[0].picture.height;
  Mosaic mosaic;
  mosaic.picture.width = 2 * width;
  mosaic.picture.height = 2 * height;
  const size_t pixels = size_t{4} * width * height;
  mosaic.picture.rgb.assign(3 * pixels, 0);
  mosaic.mask.assign(pixels, 0);
  for (int k = 0; k < 4; ++k) {
    const image::Image& picture = tiles[k].picture;
    if (kind == MosaicKind::kReference && picture.width != picture.height) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the reference's mosaic takes square images, not ", picture.width, "x", picture.height));
    }
    if (tiles[k].anomalous && tiles[k].mask.empty()) mosaic.mask_known = false;
    const int left = k % 2 * width, top = k / 2 * height;
    if (kind == MosaicKind::kReference) {
      Paste(tiles[k], left, top, mosaic);
    } else {
      Paste(Resized(tiles[k], width, height), left, top, mosaic);
    }
  }
  mosaic.anomalous = !mosaic.mask_known || std::any_of(mosaic.mask.begin(), mosaic.mask.end(),
                                                       [](uint8_t value) { return value > 0; });
  return mosaic;
}

}  // namespace hfwa::lab::train
