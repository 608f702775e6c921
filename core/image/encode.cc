// Pictures and maps to files.

#include <algorithm>
#include <csetjmp>
#include <cstdio>  // jpeglib.h wants FILE
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include <jpeglib.h>
#include <png.h>

#include "absl/strings/str_cat.h"
#include "core/image/render.h"

namespace hfwa::image {
namespace {

struct PngWriter {
  std::string* out;
  char message[128];
};

[[noreturn]] void OnPngError(png_structp png, png_const_charp message) {
  auto* writer = static_cast<PngWriter*>(png_get_error_ptr(png));
  std::strncpy(writer->message, message, sizeof(writer->message) - 1);
  png_longjmp(png, 1);
}

void OnPngWrite(png_structp png, png_bytep bytes, png_size_t count) {
  bool grown = true;
  try {
    static_cast<PngWriter*>(png_get_io_ptr(png))
        ->out->append(reinterpret_cast<const char*>(bytes), count);
  } catch (const std::bad_alloc&) {
    grown = false;  // libpng's jump must not leave a handler
  }
  if (!grown) png_error(png, "out of memory");
}

// No object with a destructor may live here: libpng leaves by longjmp.
bool WritePng(PngWriter& writer, const uint8_t* pixels, int width, int height, int bits,
              int colour) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &writer, OnPngError,
                                            [](png_structp, png_const_charp) {});
  png_infop info = png == nullptr ? nullptr : png_create_info_struct(png);
  if (info == nullptr || setjmp(png_jmpbuf(png)) != 0) {
    png_destroy_write_struct(&png, &info);
    return false;
  }
  png_set_write_fn(png, &writer, OnPngWrite, [](png_structp) {});
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), bits,
               colour, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  // Replies wait for this: the fastest level and one cheap filter.
  png_set_compression_level(png, 1);
  png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_SUB);
  png_set_compression_buffer_size(png, 64U << 10);
  png_write_info(png, info);
  if (bits == 16) png_set_swap(png);  // the machine is little-endian, PNG is not
  const size_t stride = static_cast<size_t>(width) * (colour == PNG_COLOR_TYPE_RGB ? 3 : 1) *
                        static_cast<size_t>(bits / 8);
  for (int y = 0; y < height; ++y) png_write_row(png, pixels + static_cast<size_t>(y) * stride);
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return true;
}

absl::StatusOr<std::string> EncodePngPixels(const uint8_t* pixels, size_t bytes, int width,
                                            int height, int bits, int colour) {
  const size_t pixel_bytes =
      (colour == PNG_COLOR_TYPE_RGB ? 3U : 1U) * static_cast<size_t>(bits / 8);
  if (width < 1 || height < 1 ||
      bytes != static_cast<size_t>(width) * static_cast<size_t>(height) * pixel_bytes) {
    return absl::InternalError(
        absl::StrCat("PNG of ", width, " x ", height, " from ", bytes, " bytes"));
  }
  std::string out;
  PngWriter writer{.out = &out, .message = {}};
  if (!WritePng(writer, pixels, width, height, bits, colour)) {
    return absl::InternalError(absl::StrCat("writing a PNG: ", writer.message));
  }
  return out;
}

struct JpegWriter {
  jpeg_compress_struct info;
  jpeg_error_mgr error;
  std::jmp_buf escape;
  unsigned char* out;
  unsigned long size;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void OnJpegError(j_common_ptr info) {
  auto* writer = static_cast<JpegWriter*>(info->client_data);
  (*info->err->format_message)(info, writer->message);
  std::longjmp(writer->escape, 1);
}

// No object with a destructor may live here: libjpeg leaves by longjmp.
bool WriteJpeg(JpegWriter& w, const uint8_t* rgb, int width, int height, int quality) {
  w.info.err = jpeg_std_error(&w.error);
  w.error.error_exit = OnJpegError;
  w.error.output_message = [](j_common_ptr) {};
  w.info.client_data = &w;
  if (setjmp(w.escape) != 0) {
    jpeg_destroy_compress(&w.info);
    return false;
  }
  jpeg_create_compress(&w.info);
  jpeg_mem_dest(&w.info, &w.out, &w.size);
  w.info.image_width = static_cast<JDIMENSION>(width);
  w.info.image_height = static_cast<JDIMENSION>(height);
  w.info.input_components = 3;
  w.info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&w.info);
  jpeg_set_quality(&w.info, quality, TRUE);
  jpeg_start_compress(&w.info, TRUE);
  while (w.info.next_scanline < w.info.image_height) {
    auto* row = const_cast<JSAMPLE*>(rgb + static_cast<size_t>(w.info.next_scanline) *
                                               static_cast<size_t>(width) * 3);
    jpeg_write_scanlines(&w.info, &row, 1);
  }
  jpeg_finish_compress(&w.info);
  jpeg_destroy_compress(&w.info);
  return true;
}

}  // namespace

absl::StatusOr<std::string> EncodePng(const Image& image) {
  return EncodePngPixels(image.rgb.data(), image.rgb.size(), image.width, image.height, 8,
                         PNG_COLOR_TYPE_RGB);
}

absl::StatusOr<std::string> EncodePngGrey8(absl::Span<const uint8_t> pixels, int width,
                                           int height) {
  return EncodePngPixels(pixels.data(), pixels.size(), width, height, 8, PNG_COLOR_TYPE_GRAY);
}

absl::StatusOr<std::string> EncodePngGrey16Pixels(absl::Span<const uint16_t> pixels, int width,
                                                  int height) {
  return EncodePngPixels(reinterpret_cast<const uint8_t*>(pixels.data()), pixels.size() * 2, width,
                         height, 16, PNG_COLOR_TYPE_GRAY);
}

absl::StatusOr<std::string> EncodePngGrey16(const FloatMap& map, float low, float high) {
  std::vector<uint16_t> pixels(map.values.size());
  const float scale = high > low ? 65535.0F / (high - low) : 0.0F;
  for (size_t i = 0; i < pixels.size(); ++i) {
    const float level = (map.values[i] - low) * scale + 0.5F;
    // NaN fails both comparisons and becomes 0.
    pixels[i] = level >= 65535.0F ? 65535 : level > 0.0F ? static_cast<uint16_t>(level) : 0;
  }
  return EncodePngGrey16Pixels(pixels, map.width, map.height);
}

absl::StatusOr<std::string> EncodeJpeg(const Image& image, int quality) {
  const size_t bytes = static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3;
  if (image.width < 1 || image.height < 1 || image.rgb.size() != bytes) {
    return absl::InternalError(absl::StrCat("JPEG of ", image.width, " x ", image.height, " from ",
                                            image.rgb.size(), " bytes"));
  }
  JpegWriter writer{};
  const bool written =
      WriteJpeg(writer, image.rgb.data(), image.width, image.height, std::clamp(quality, 1, 100));
  const std::unique_ptr<unsigned char, void (*)(void*)> buffer(writer.out, std::free);
  if (!written) return absl::InternalError(absl::StrCat("writing a JPEG: ", writer.message));
  return std::string(reinterpret_cast<const char*>(writer.out), writer.size);
}

}  // namespace hfwa::image
