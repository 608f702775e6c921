#include "client/cli/synthetic.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/bench/schedule.h"
#include "client/cli/pixels.h"
#include "client/image.h"
#include "core/base/status_macros.h"

namespace hfwa::cli {
namespace {

constexpr int kPicturesPerSize = 4;
constexpr int kJpegQuality = 90;
constexpr uint32_t kMaxSide = 16384;
constexpr uint64_t kMaxPixels = 40'000'000;

absl::StatusOr<Pixels> EmptyPicture(const std::string& size) {
  const std::vector<std::string> sides = absl::StrSplit(size, 'x');
  Pixels pixels;
  const auto side = [](const std::string& text, uint32_t& value) {
    return absl::SimpleAtoi(text, &value) && value >= 1 && value <= kMaxSide;
  };
  if (sides.size() != 2 || !side(sides[0], pixels.width) || !side(sides[1], pixels.height) ||
      uint64_t{pixels.width} * pixels.height > kMaxPixels) {
    return absl::InvalidArgumentError(
        absl::StrCat("--synthetic ", size, ": sizes are such as 640x480, up to 40 megapixels"));
  }
  pixels.rgb.resize(size_t{3} * pixels.width * pixels.height);
  return pixels;
}

void Paint(Pixels& pixels, bench::Random& random) {
  constexpr size_t kNoise = 12;
  const uint32_t period = 24 + static_cast<uint32_t>(random.Below(40));
  size_t at = 0;
  for (uint32_t y = 0; y < pixels.height; ++y) {
    for (uint32_t x = 0; x < pixels.width; ++x) {
      const size_t base = ((x + y / 4) % period < period / 2 ? 90 : 150) + random.Below(kNoise);
      for (size_t c = 0; c < 3; ++c) pixels.rgb[at++] = static_cast<uint8_t>(base + 10 * c);
    }
  }
}

absl::StatusOr<v1::Image> Encode(const Pixels& pixels, const std::string& format) {
  if (format == "raw") {
    return client::RawPixels(static_cast<int32_t>(pixels.width),
                             static_cast<int32_t>(pixels.height), v1::RawImage::RGB8,
                             std::string(pixels.rgb.begin(), pixels.rgb.end()));
  }
  if (format == "jpeg") return client::EncodedImage(EncodeJpeg(pixels, kJpegQuality));
  HFWA_ASSIGN_OR_RETURN(std::string png, EncodePng(pixels));
  return client::EncodedImage(std::move(png));
}

}  // namespace

absl::StatusOr<std::vector<v1::Image>> SyntheticPictures(const std::vector<std::string>& sizes,
                                                         const std::string& format, uint64_t seed) {
  bench::Random random(seed);
  std::vector<v1::Image> pictures;
  for (const std::string& size : sizes) {
    HFWA_ASSIGN_OR_RETURN(Pixels pixels, EmptyPicture(size));
    for (int i = 0; i < kPicturesPerSize; ++i) {
      Paint(pixels, random);
      HFWA_ASSIGN_OR_RETURN(v1::Image picture, Encode(pixels, format));
      pictures.push_back(std::move(picture));
    }
  }
  return pictures;
}

}  // namespace hfwa::cli
