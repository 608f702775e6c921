#include "client/cli/overlay.h"

#include <jerror.h>
#include <jpeglib.h>
#include <png.h>

#include <csetjmp>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/pixels.h"
#include "core/base/status_macros.h"

namespace hfwa::cli {
namespace {

constexpr uint64_t kMaxPixels = 40'000'000;
constexpr uint32_t kMaxSide = 16384;
constexpr int kMaxScans = 64;
// Share of the heatmap in a pixel of the overlay, of 256.
constexpr int kHeatShare = 115;

absl::Status CheckSize(uint64_t width, uint64_t height) {
  if (width >= 1 && height >= 1 && width <= kMaxSide && height <= kMaxSide &&
      width * height <= kMaxPixels) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no overlay for ", width, " x ", height, " pixels"));
}

absl::StatusOr<Pixels> DecodePng(const std::string& bytes) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  Pixels pixels;
  if (png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) != 0) {
    if (absl::Status size = CheckSize(image.width, image.height); !size.ok()) {
      png_image_free(&image);
      return size;
    }
    // Transparent places turn black.
    const png_color black{0, 0, 0};
    image.format = PNG_FORMAT_RGB;
    pixels.width = image.width;
    pixels.height = image.height;
    pixels.rgb.resize(PNG_IMAGE_SIZE(image));
    if (png_image_finish_read(&image, &black, pixels.rgb.data(), 0, nullptr) != 0) return pixels;
  }
  png_image_free(&image);
  return absl::InvalidArgumentError(absl::StrCat("PNG: ", image.message));
}

// libjpeg reports by calling back; this jumps out of it.
struct JpegErrors {
  jpeg_error_mgr base;
  jmp_buf escape;
  char message[JMSG_LENGTH_MAX];
};
struct JpegProgress {
  jpeg_progress_mgr base;
};

[[noreturn]] void JpegFailed(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  info->err->format_message(info, errors->message);
  longjmp(errors->escape, 1);
}

void CheckScans(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMaxScans) {
    ERREXIT(info, JERR_BAD_PROGRESSION);
  }
}

uint32_t ReadNumber(const uint8_t* at, int size, bool big_endian) {
  uint32_t value = 0;
  for (int i = 0; i < size; ++i) {
    value |= uint32_t{at[i]} << (8 * (big_endian ? size - 1 - i : i));
  }
  return value;
}

// EXIF orientation, 1 to 8, out of an APP1 segment; 1 if there is none.
int ExifOrientation(const uint8_t* data, size_t size) {
  constexpr size_t kHeader = 6;
  if (size < kHeader + 8 || std::memcmp(data, "Exif\0\0", kHeader) != 0) return 1;
  const uint8_t* tiff = data + kHeader;
  const size_t length = size - kHeader;
  const bool big_endian = tiff[0] == 'M';
  const size_t directory = ReadNumber(tiff + 4, 4, big_endian);
  if (directory > length - 2) return 1;
  const size_t entries = ReadNumber(tiff + directory, 2, big_endian);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + 12 * i;
    if (entry + 12 > length) return 1;
    if (ReadNumber(tiff + entry, 2, big_endian) != 0x0112) continue;
    const uint32_t value = ReadNumber(tiff + entry + 8, 2, big_endian);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

// Turns stored pixels as their EXIF orientation says.
Pixels Upright(Pixels stored, int orientation) {
  if (orientation == 1) return stored;
  const bool swapped = orientation >= 5;
  Pixels out{swapped ? stored.height : stored.width, swapped ? stored.width : stored.height, {}};
  out.rgb.resize(stored.rgb.size());
  const uint32_t right = stored.width - 1;
  const uint32_t bottom = stored.height - 1;
  for (uint32_t y = 0; y < out.height; ++y) {
    for (uint32_t x = 0; x < out.width; ++x) {
      // For transposing orientations (x, y) of the upright picture lies at (y, x) of the stored
      // one.
      uint32_t from_x = swapped ? y : x;
      uint32_t from_y = swapped ? x : y;
      if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) {
        from_x = right - from_x;
      }
      if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) {
        from_y = bottom - from_y;
      }
      std::memcpy(&out.rgb[3 * (size_t{y} * out.width + x)],
                  &stored.rgb[3 * (size_t{from_y} * stored.width + from_x)], 3);
    }
  }
  return out;
}

// Between setjmp and the end only trivial objects are made here: longjmp runs no destructors.
bool ReadJpeg(jpeg_decompress_struct& info, JpegErrors& errors, const std::string& bytes,
              Pixels& pixels, int& orientation, absl::Status& size) {
  if (setjmp(errors.escape) != 0) return false;
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_save_markers(&info, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header(&info, TRUE);
  size = CheckSize(info.image_width, info.image_height);
  if (!size.ok()) return false;
  for (auto* marker = info.marker_list; marker != nullptr; marker = marker->next) {
    const int found = ExifOrientation(marker->data, marker->data_length);
    if (found != 1) orientation = found;
  }
  info.out_color_space = JCS_RGB;
  jpeg_start_decompress(&info);
  pixels.width = info.output_width;
  pixels.height = info.output_height;
  pixels.rgb.resize(size_t{3} * pixels.width * pixels.height);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = &pixels.rgb[size_t{3} * pixels.width * info.output_scanline];
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  return true;
}

absl::StatusOr<Pixels> DecodeJpeg(const std::string& bytes) {
  jpeg_decompress_struct info{};
  JpegErrors errors{};
  info.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = JpegFailed;
  errors.base.output_message = [](j_common_ptr) {};
  jpeg_create_decompress(&info);
  JpegProgress progress{};
  progress.base.progress_monitor = CheckScans;
  info.progress = &progress.base;
  info.mem->max_memory_to_use = 512L << 20;
  Pixels pixels;
  int orientation = 1;
  absl::Status size;
  const bool ok = ReadJpeg(info, errors, bytes, pixels, orientation, size);
  jpeg_destroy_decompress(&info);
  if (!size.ok()) return size;
  if (!ok) return absl::InvalidArgumentError(absl::StrCat("JPEG: ", errors.message));
  return Upright(std::move(pixels), orientation);
}

absl::StatusOr<Pixels> Decode(const std::string& bytes) {
  const std::string_view head = std::string_view(bytes).substr(0, 8);
  if (head == "\x89PNG\r\n\x1a\n") return DecodePng(bytes);
  if (head.substr(0, 3) == "\xff\xd8\xff") return DecodeJpeg(bytes);
  return absl::UnimplementedError("overlays are made for JPEG and PNG pictures alone");
}

}  // namespace

absl::StatusOr<std::string> MakeOverlay(const std::string& picture, const std::string& heatmap) {
  HFWA_ASSIGN_OR_RETURN(Pixels pixels, Decode(picture));
  HFWA_ASSIGN_OR_RETURN(const Pixels heat, DecodePng(heatmap));
  // The heatmap of a large picture is smaller than it, in the same shape.
  for (uint32_t y = 0; y < pixels.height; ++y) {
    const uint64_t heat_y = uint64_t{y} * heat.height / pixels.height;
    for (uint32_t x = 0; x < pixels.width; ++x) {
      const uint64_t heat_x = uint64_t{x} * heat.width / pixels.width;
      const uint8_t* from = &heat.rgb[3 * (heat_y * heat.width + heat_x)];
      uint8_t* to = &pixels.rgb[3 * (uint64_t{y} * pixels.width + x)];
      for (int c = 0; c < 3; ++c) {
        to[c] =
            static_cast<uint8_t>((to[c] * (256 - kHeatShare) + from[c] * kHeatShare + 128) >> 8);
      }
    }
  }
  return EncodePng(pixels);
}

}  // namespace hfwa::cli
