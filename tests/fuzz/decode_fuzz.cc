// Decode, ReadHeader, FromRaw and the EXIF reader on arbitrary bytes. The first byte chooses.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "core/image/codec.h"
#include "core/image/decode.h"

namespace {

using namespace hfwa::image;

// Small limits: the fuzzer is after wrong reads, not after time spent on large pictures.
constexpr Limits kLimits = {.bytes_max = 1U << 20,
                            .pixels_max = 1 << 18,
                            .side_max = 4096,
                            .jpeg_scans_max = 16,
                            .decoder_memory_max = 16U << 20};

void Check(bool promise) {
  if (!promise) std::abort();
}

void CheckAnswer(const absl::StatusOr<Image>& image) {
  if (!image.ok()) {
    Check(image.status().code() == absl::StatusCode::kInvalidArgument);
    Check(!image.status().message().empty());
    return;
  }
  Check(image->width >= 1 && image->height >= 1);
  Check(int64_t{image->width} * image->height <= kLimits.pixels_max);
  Check(image->rgb.size() ==
        static_cast<size_t>(image->width) * static_cast<size_t>(image->height) * 3);
}

void Raw(std::string_view bytes) {
  struct {
    int32_t width;
    int32_t height;
    int64_t stride;
    int32_t format;
  } head{};
  if (bytes.size() < sizeof(head)) return;
  std::memcpy(&head, bytes.data(), sizeof(head));
  CheckAnswer(FromRaw({.width = head.width,
                       .height = head.height,
                       .stride = head.stride,
                       .format = static_cast<PixelFormat>(head.format),
                       .data = bytes.substr(sizeof(head))},
                      {.limits = kLimits}));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  switch (data[0]) {
    case 0:
      Raw(bytes.substr(1));
      break;
    case 1: {
      const int orientation = internal::ExifOrientation(bytes.substr(1));
      Check(orientation >= 1 && orientation <= 8);
      break;
    }
    case 2:
      CheckAnswer(Decode(bytes.substr(1),
                         {.limits = kLimits, .apply_orientation = false, .grey16 = Grey16::kClip}));
      break;
    default: {  // image files start with other bytes
      const bool header = ReadHeader(bytes, kLimits).ok();
      const absl::StatusOr<Image> image = Decode(bytes, {.limits = kLimits});
      Check(header || !image.ok());
      CheckAnswer(image);
    }
  }
  return 0;
}
