// WebP by libwebp. The container is walked here, and the library gets nothing but the bitstream of
// one picture: transparency, metadata and animation never reach it.

#include <webp/decode.h>

#include <cstring>

#include "core/base/status_macros.h"
#include "core/image/codec.h"

namespace hfwa::image::internal {
namespace {

struct Container {
  int64_t width = 0;  // of the canvas
  int64_t height = 0;
  int orientation = 1;
  std::string_view bitstream;  // VP8 or VP8L
  bool lossless = false;
  int64_t frame_x = 0;  // of the bitstream's picture in the canvas
  int64_t frame_y = 0;
};

uint32_t Le24(const Bytes& bytes, uint64_t at) { return bytes.Le16(at) | bytes.U8(at + 2) << 16; }

// Width and height from the start of a VP8 or VP8L bitstream.
absl::Status BitstreamSize(const Container& container, int64_t& width, int64_t& height) {
  const Bytes bytes(container.bitstream);
  if (container.lossless) {
    if (!bytes.Has(0, 5) || bytes.U8(0) != 0x2F) return Invalid("WebP: damaged lossless header");
    const uint32_t packed = bytes.Le32(1);
    width = (packed & 0x3FFF) + 1;
    height = (packed >> 14 & 0x3FFF) + 1;
  } else {
    if (!bytes.Has(0, 10) || Le24(bytes, 3) != 0x2A019D)
      return Invalid("WebP: damaged lossy header");
    width = bytes.Le16(6) & 0x3FFF;
    height = bytes.Le16(8) & 0x3FFF;
  }
  return absl::OkStatus();
}

// Finds the picture among the chunks of [at, end); an animation's first frame is looked into once.
absl::Status WalkChunks(const Bytes& bytes, uint64_t at, uint64_t end, bool in_frame,
                        Container& container) {
  while (at + 8 <= end) {
    const std::string_view type = bytes.Slice(at, 4);
    const uint64_t length = bytes.Le32(at + 4);
    const uint64_t payload = at + 8;
    if (length > end - payload) break;  // the picture may be complete already
    if ((type == "VP8 " || type == "VP8L") && container.bitstream.empty()) {
      container.bitstream = bytes.Slice(payload, length);
      container.lossless = type == "VP8L";
    } else if (type == "VP8X" && !in_frame && length >= 10 && container.width == 0) {
      container.width = Le24(bytes, payload + 4) + 1;
      container.height = Le24(bytes, payload + 7) + 1;
    } else if (type == "ANMF" && !in_frame && length >= 16 && container.bitstream.empty()) {
      container.frame_x = int64_t{Le24(bytes, payload)} * 2;
      container.frame_y = int64_t{Le24(bytes, payload + 3)} * 2;
      HFWA_RETURN_IF_ERROR(WalkChunks(bytes, payload + 16, payload + length, true, container));
    } else if (type == "EXIF" && !in_frame && container.orientation == 1) {
      container.orientation = ExifOrientation(bytes.Slice(payload, length));
    }
    at = payload + length + (length & 1);
  }
  return absl::OkStatus();
}

absl::StatusOr<Container> ParseContainer(std::string_view data) {
  const Bytes bytes(data);
  const uint64_t end = uint64_t{bytes.Le32(4)} + 8;
  if (end > bytes.size()) return Invalid("WebP ends after ", bytes.size(), " of ", end, " bytes");
  Container container;
  HFWA_RETURN_IF_ERROR(WalkChunks(bytes, 12, end, false, container));
  if (container.bitstream.empty()) return Invalid("WebP: no picture in the file");
  int64_t width = 0;
  int64_t height = 0;
  HFWA_RETURN_IF_ERROR(BitstreamSize(container, width, height));
  if (container.width == 0) {
    container.width = width;
    container.height = height;
  }
  if (container.frame_x + width > container.width ||
      container.frame_y + height > container.height) {
    return Invalid("WebP: the picture is larger than its canvas");
  }
  return container;
}

}  // namespace

absl::StatusOr<Header> ReadWebpHeader(std::string_view bytes) {
  HFWA_ASSIGN_OR_RETURN(const Container container, ParseContainer(bytes));
  return Header{.format = Format::kWebp,
                .width = static_cast<int>(container.width),
                .height = static_cast<int>(container.height),
                .orientation = container.orientation};
}

absl::StatusOr<Image> DecodeWebp(std::string_view bytes, const DecodeOptions& options) {
  HFWA_ASSIGN_OR_RETURN(const Container container, ParseContainer(bytes));
  HFWA_RETURN_IF_ERROR(CheckSize("WebP", container.width, container.height, options.limits));
  int64_t width = 0;
  int64_t height = 0;
  HFWA_RETURN_IF_ERROR(BitstreamSize(container, width, height));
  // The library keeps lossless pictures as 4 bytes a pixel besides the result.
  if (container.lossless &&
      width * height * 4 > static_cast<int64_t>(options.limits.decoder_memory_max)) {
    return Invalid("WebP: a lossless picture of ", width, " x ", height, " pixels needs more than ",
                   options.limits.decoder_memory_max, " bytes to decode");
  }
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) return absl::InternalError("libwebp of another version");
  const auto* input = reinterpret_cast<const uint8_t*>(container.bitstream.data());
  if (WebPGetFeatures(input, container.bitstream.size(), &config.input) != VP8_STATUS_OK ||
      config.input.width != width || config.input.height != height) {
    return Invalid("WebP: damaged picture header");
  }
  HFWA_ASSIGN_OR_RETURN(Image image,
                        NewImage("WebP", container.width, container.height, options.limits));
  const int64_t stride = container.width * 3;
  const int64_t offset = container.frame_y * stride + container.frame_x * 3;
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = image.rgb.data() + offset;
  config.output.u.RGBA.stride = static_cast<int>(stride);
  config.output.u.RGBA.size = image.rgb.size() - static_cast<size_t>(offset);
  const VP8StatusCode status = WebPDecode(input, container.bitstream.size(), &config);
  WebPFreeDecBuffer(&config.output);
  switch (status) {
    case VP8_STATUS_OK:
      return image;
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
      return Invalid("WebP: the pixel data ends early");
    case VP8_STATUS_OUT_OF_MEMORY:
      return absl::ResourceExhaustedError("no memory to decode a WebP picture");
    default:
      return Invalid("WebP: damaged pixel data");
  }
}

}  // namespace hfwa::image::internal
