#pragma once

// What the codecs share: errors, size checks, bounded reads, samples to RGB. Internal to
// core/image.

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "core/image/decode.h"
#include "core/image/image.h"

namespace hfwa::image::internal {

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

// Reads of numbers within a file; what lies beyond its end reads as 0, so callers that care ask
// Has().
class Bytes {
 public:
  explicit Bytes(std::string_view data) : data_(data) {}

  uint64_t size() const { return data_.size(); }
  bool Has(uint64_t offset, uint64_t count) const {
    return offset <= size() && count <= size() - offset;
  }
  uint32_t U8(uint64_t at) const { return at < size() ? static_cast<uint8_t>(data_[at]) : 0U; }
  uint32_t Le16(uint64_t at) const { return U8(at) | U8(at + 1) << 8; }
  uint32_t Le32(uint64_t at) const { return Le16(at) | Le16(at + 2) << 16; }
  uint32_t Be16(uint64_t at) const { return U8(at) << 8 | U8(at + 1); }
  uint32_t Be32(uint64_t at) const { return Be16(at) << 16 | Be16(at + 2); }
  // At most `count` bytes from `at`; less where the file ends.
  std::string_view Slice(uint64_t at, uint64_t count) const {
    return at < size() ? data_.substr(at, count) : std::string_view();
  }

 private:
  std::string_view data_;
};

// INVALID_ARGUMENT unless both sides are positive and within the limits.
absl::Status CheckSize(std::string_view format, int64_t width, int64_t height,
                       const Limits& limits);

// CheckSize, then the memory. The codecs call it as late as they can.
absl::StatusOr<Image> NewImage(std::string_view format, int64_t width, int64_t height,
                               const Limits& limits);

// 16-bit grey to 8 bits.
inline uint8_t Grey16To8(uint32_t value, Grey16 mode) {
  return static_cast<uint8_t>(mode == Grey16::kScale ? value >> 8 : value > 255 ? 255 : value);
}

// `count` pixels of one channel to RGB; `rgb` holds 3 * count bytes.
void GreyToRgb(const uint8_t* grey, int64_t count, uint8_t* rgb);

// The table of 256 * 3 bytes that an incomplete palette starts from in Pillow: entry i is grey i.
struct Palette {
  uint8_t rgb[256][3];
};
Palette GreyRamp();
void PaletteToRgb(const uint8_t* indices, int64_t count, const Palette& palette, uint8_t* rgb);

// One row of CMYK, ink amounts 0..255, to RGB (training-and-data spec, 5.2).
void CmykToRgb(const uint8_t* cmyk, int64_t count, uint8_t* rgb);

// The EXIF orientation in a TIFF structure ("II*\0..."), optionally after "Exif\0\0"; 1 if absent
// or damaged.
int ExifOrientation(std::string_view exif);

// The picture turned upright; `orientation` 1 to 8.
Image Upright(Image image, int orientation);

absl::StatusOr<Header> ReadJpegHeader(std::string_view bytes);
absl::StatusOr<Header> ReadPngHeader(std::string_view bytes);
absl::StatusOr<Header> ReadBmpHeader(std::string_view bytes);
absl::StatusOr<Header> ReadTiffHeader(std::string_view bytes);
absl::StatusOr<Header> ReadWebpHeader(std::string_view bytes);

// Each expects that ReadHeader accepted the bytes, checks again what matters for memory, and
// ignores options.apply_orientation.
absl::StatusOr<Image> DecodeJpeg(std::string_view bytes, const DecodeOptions& options);
absl::StatusOr<Image> DecodePng(std::string_view bytes, const DecodeOptions& options);
absl::StatusOr<Image> DecodeBmp(std::string_view bytes, const DecodeOptions& options);
absl::StatusOr<Image> DecodeTiff(std::string_view bytes, const DecodeOptions& options);
absl::StatusOr<Image> DecodeWebp(std::string_view bytes, const DecodeOptions& options);

}  // namespace hfwa::image::internal
