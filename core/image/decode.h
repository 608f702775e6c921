#pragma once

// Bytes to pixels: limits first, then the codec. Colour conversion is Pillow's convert("RGB"), byte
// for byte (training-and-data spec, section 5.2); what the service does better is an option with
// its own name.
//
// All functions are thread-safe and answer bad input with INVALID_ARGUMENT and a message fit for
// the caller ("JPEG ends after 1234 bytes"); they never throw and never print.

#include <string_view>

#include "absl/status/statusor.h"
#include "core/image/image.h"

namespace hfwa::image {

enum class Format { kJpeg, kPng, kBmp, kTiff, kWebp };

// "image/jpeg" and so on.
std::string_view MediaType(Format format);

// 16-bit grey to 8 bits: kClip is min(v, 255), what Pillow and so the paper's code does; kScale is
// v >> 8, what a camera's owner expects.
enum class Grey16 { kClip, kScale };

struct DecodeOptions {
  Limits limits = {};
  // Turn the picture upright by its EXIF orientation (JPEG, PNG, TIFF, WebP). Pillow's plain open
  // does not, except for TIFF, which is therefore always turned.
  bool apply_orientation = true;
  Grey16 grey16 = Grey16::kScale;

  // As the paper's code reads images: orientation ignored, 16-bit grey clipped.
  static DecodeOptions Paper() {
    return {.limits = {}, .apply_orientation = false, .grey16 = Grey16::kClip};
  }
};

// What the header says. No pixel is decoded.
struct Header {
  Format format;
  int width;  // as stored, before any orientation
  int height;
  int orientation = 1;  // EXIF 1 to 8
};

// Sniffs the first bytes and reads the header. INVALID_ARGUMENT for an empty, unknown or damaged
// one, or one beyond the limits.
absl::StatusOr<Header> ReadHeader(std::string_view bytes, const Limits& limits);

// Decodes the first picture of a JPEG, PNG, BMP, TIFF or WebP file. Truncated files are an error.
absl::StatusOr<Image> Decode(std::string_view bytes, const DecodeOptions& options);

// Layouts of uncompressed pixels; 16-bit samples are little-endian.
enum class PixelFormat {
  kGray8,
  kGray16,
  kRgb8,
  kBgr8,
  kRgba8,
  kBgra8,
  kBayerRg8,
  kBayerBg8,
  kBayerGr8,
  kBayerGb8
};

// A view of pixels as a camera delivers them.
struct RawPixels {
  int width = 0;
  int height = 0;
  int64_t stride = 0;  // bytes from row to row; 0 means width * bytes per pixel
  PixelFormat format = PixelFormat::kGray8;
  std::string_view data = {};
};

// Alpha is dropped; Bayer mosaics are demosaiced bilinearly (both sides even). The message of an
// INVALID_ARGUMENT starts with the field at fault: "width", "height", "stride", "format" or "data".
absl::StatusOr<Image> FromRaw(const RawPixels& raw, const DecodeOptions& options);

}  // namespace hfwa::image
