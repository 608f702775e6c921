// Pixels as cameras deliver them.

#include <exception>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/base/status_macros.h"
#include "core/image/codec.h"
#include "core/image/decode.h"

namespace hfwa::image {
namespace {

using internal::Invalid;

// 0 for a value outside the enumeration.
int64_t BytesPerPixel(PixelFormat format) {
  switch (format) {
    case PixelFormat::kGray8:
    case PixelFormat::kBayerRg8:
    case PixelFormat::kBayerBg8:
    case PixelFormat::kBayerGr8:
    case PixelFormat::kBayerGb8:
      return 1;
    case PixelFormat::kGray16:
      return 2;
    case PixelFormat::kRgb8:
    case PixelFormat::kBgr8:
      return 3;
    case PixelFormat::kRgba8:
    case PixelFormat::kBgra8:
      return 4;
  }
  return 0;
}

// OpenCV's code for a mosaic named by its first two rows, -1 for other formats.
int DemosaicCode(PixelFormat format) {
  switch (format) {
    case PixelFormat::kBayerRg8:
      return cv::COLOR_BayerRGGB2RGB;
    case PixelFormat::kBayerBg8:
      return cv::COLOR_BayerBGGR2RGB;
    case PixelFormat::kBayerGr8:
      return cv::COLOR_BayerGRBG2RGB;
    case PixelFormat::kBayerGb8:
      return cv::COLOR_BayerGBRG2RGB;
    default:
      return -1;
  }
}

void RowToRgb(const uint8_t* in, int64_t width, PixelFormat format, Grey16 grey16, uint8_t* rgb) {
  const int64_t step = BytesPerPixel(format);
  switch (format) {
    case PixelFormat::kGray8:
      return internal::GreyToRgb(in, width, rgb);
    case PixelFormat::kGray16:
      for (int64_t x = 0; x < width; ++x, in += 2, rgb += 3) {
        const uint32_t value = in[0] | static_cast<uint32_t>(in[1]) << 8;
        rgb[0] = rgb[1] = rgb[2] = internal::Grey16To8(value, grey16);
      }
      return;
    default: {
      const bool reversed = format == PixelFormat::kBgr8 || format == PixelFormat::kBgra8;
      const int red = reversed ? 2 : 0;
      for (int64_t x = 0; x < width; ++x, in += step, rgb += 3) {
        rgb[0] = in[red];
        rgb[1] = in[1];
        rgb[2] = in[2 - red];
      }
    }
  }
}

absl::Status CheckSides(const RawPixels& raw, const Limits& limits) {
  for (const auto& [name, side] :
       {std::pair("width", raw.width), std::pair("height", raw.height)}) {
    if (side < 1 || side > limits.side_max) {
      return Invalid(name, " is ", side, "; must be 1 to ", limits.side_max);
    }
  }
  if (int64_t{raw.width} * raw.height > limits.pixels_max) {
    return Invalid("width x height is ", int64_t{raw.width} * raw.height, " pixels; at most ",
                   limits.pixels_max, " are allowed");
  }
  return absl::OkStatus();
}

// Checks everything and returns the stride.
absl::StatusOr<int64_t> CheckRaw(const RawPixels& raw, const Limits& limits) {
  const int64_t pixel_bytes = BytesPerPixel(raw.format);
  if (pixel_bytes == 0) return Invalid("format is not a known pixel format");
  HFWA_RETURN_IF_ERROR(CheckSides(raw, limits));
  if (DemosaicCode(raw.format) >= 0) {
    if (raw.width % 2 != 0)
      return Invalid("width is ", raw.width, "; Bayer mosaics need an even one");
    if (raw.height % 2 != 0)
      return Invalid("height is ", raw.height, "; Bayer mosaics need an even one");
  }
  const int64_t row_bytes = raw.width * pixel_bytes;
  const int64_t stride = raw.stride == 0 ? row_bytes : raw.stride;
  const int64_t bytes_max = static_cast<int64_t>(limits.bytes_max);
  if (stride < row_bytes || stride > bytes_max) {
    return Invalid("stride is ", raw.stride, "; must be 0 or ", row_bytes, " to ", bytes_max);
  }
  if (raw.data.size() > limits.bytes_max) {
    return Invalid("data has ", raw.data.size(), " bytes; at most ", bytes_max, " are allowed");
  }
  // Both factors are below 2^46 together: side_max is an int and bytes_max was checked against
  // size_t.
  const int64_t needed = stride * (raw.height - 1) + row_bytes;
  if (static_cast<int64_t>(raw.data.size()) < needed) {
    return Invalid("data has ", raw.data.size(), " bytes; ", raw.width, " x ", raw.height,
                   " pixels at this stride need ", needed);
  }
  return stride;
}

}  // namespace

absl::StatusOr<Image> FromRaw(const RawPixels& raw, const DecodeOptions& options) {
  try {
    HFWA_ASSIGN_OR_RETURN(const int64_t stride, CheckRaw(raw, options.limits));
    HFWA_ASSIGN_OR_RETURN(Image image,
                          internal::NewImage("raw image", raw.width, raw.height, options.limits));
    const auto* pixels = reinterpret_cast<const uint8_t*>(raw.data.data());
    const int code = DemosaicCode(raw.format);
    if (code >= 0) {
      // cv::Mat has no constant views; cvtColor only reads its input.
      const cv::Mat mosaic(raw.height, raw.width, CV_8UC1, const_cast<uint8_t*>(pixels),
                           static_cast<size_t>(stride));
      cv::Mat rgb(raw.height, raw.width, CV_8UC3, image.rgb.data());
      cv::cvtColor(mosaic, rgb, code);
      return image;
    }
    for (int64_t y = 0; y < raw.height; ++y) {
      RowToRgb(pixels + y * stride, raw.width, raw.format, options.grey16,
               image.rgb.data() + y * raw.width * 3);
    }
    return image;
  } catch (const std::exception& error) {  // cv::Exception, std::bad_alloc
    return absl::InternalError(absl::StrCat("converting raw pixels: ", error.what()));
  }
}

}  // namespace hfwa::image
