#include "client/cli/pixels.h"

// Needed by jpeglib.h.
#include <jpeglib.h>
#include <png.h>
#include <stdio.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace hfwa::cli {

absl::StatusOr<std::string> EncodePng(const Pixels& pixels) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.format = PNG_FORMAT_RGB;
  image.width = pixels.width;
  image.height = pixels.height;
  // They are looked at once; speed counts more than size.
  image.flags = PNG_IMAGE_FLAG_FAST;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string bytes(size, '\0');
  const int ok =
      png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels.rgb.data(), 0, nullptr);
  png_image_free(&image);
  if (ok == 0) return absl::InternalError(absl::StrCat("PNG: ", image.message));
  bytes.resize(size);
  return bytes;
}

std::string EncodeJpeg(const Pixels& pixels, int quality) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &bytes, &size);
  info.image_width = pixels.width;
  info.image_height = pixels.height;
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    // libjpeg does not write to what it compresses.
    auto* row = const_cast<JSAMPROW>(&pixels.rgb[size_t{3} * pixels.width * info.next_scanline]);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  std::string jpeg(reinterpret_cast<char*>(bytes), size);
  jpeg_destroy_compress(&info);
  std::free(bytes);
  return jpeg;
}

}  // namespace hfwa::cli
