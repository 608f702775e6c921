// PNG by libpng. Chunks are walked first: a file without its end is refused before a byte is
// inflated.

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <vector>

#include <png.h>

#include "core/base/status_macros.h"
#include "core/image/codec.h"

namespace hfwa::image::internal {
namespace {

constexpr uint64_t kFirstChunk = 8;  // after the signature
constexpr uint64_t kHeaderEnd = kFirstChunk + 8 + 13 + 4;

struct Ihdr {
  int64_t width;
  int64_t height;
  int bits;
  int colour;  // 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA
  bool interlaced;

  int Channels() const { return colour == 2 ? 3 : colour == 4 ? 2 : colour == 6 ? 4 : 1; }
};

absl::StatusOr<Ihdr> ParseIhdr(const Bytes& bytes) {
  if (!bytes.Has(0, kHeaderEnd))
    return Invalid("PNG ends within its header, after ", bytes.size(), " bytes");
  if (bytes.Be32(kFirstChunk) != 13 || bytes.Slice(kFirstChunk + 4, 4) != "IHDR") {
    return Invalid("PNG: the first chunk is not IHDR");
  }
  const Ihdr ihdr{.width = bytes.Be32(16),
                  .height = bytes.Be32(20),
                  .bits = static_cast<int>(bytes.U8(24)),
                  .colour = static_cast<int>(bytes.U8(25)),
                  .interlaced = bytes.U8(28) == 1};
  if (ihdr.width < 1 || ihdr.height < 1 || ihdr.width > INT32_MAX || ihdr.height > INT32_MAX) {
    return Invalid("PNG says ", ihdr.width, " x ", ihdr.height, " pixels");
  }
  return ihdr;
}

struct Chunks {
  int orientation = 1;
  uint64_t data_bytes = 0;  // of all IDAT
};

absl::StatusOr<Chunks> WalkChunks(const Bytes& bytes) {
  Chunks chunks;
  for (uint64_t at = kFirstChunk; bytes.Has(at, 12);) {
    const uint64_t length = bytes.Be32(at);
    if (!bytes.Has(at, 12 + length)) break;
    const std::string_view type = bytes.Slice(at + 4, 4);
    if (type == "IEND") return chunks;
    if (type == "IDAT") chunks.data_bytes += length;
    if (type == "eXIf") chunks.orientation = ExifOrientation(bytes.Slice(at + 8, length));
    at += 12 + length;
  }
  return Invalid("PNG ends before its IEND chunk, after ", bytes.size(), " bytes");
}

struct Decoder {
  const char* next;
  size_t left;
  size_t budget;  // bytes that libpng may still read before the next call of png_read_row
  char message[128];
};

[[noreturn]] void OnError(png_structp png, png_const_charp message) {
  auto* self = static_cast<Decoder*>(png_get_error_ptr(png));
  std::strncpy(self->message, message, sizeof(self->message) - 1);
  png_longjmp(png, 1);
}

void OnRead(png_structp png, png_bytep out, png_size_t count) {
  auto* self = static_cast<Decoder*>(png_get_io_ptr(png));
  if (count > self->left) png_error(png, "the file ends within its pixel data");
  if (count > self->budget) png_error(png, "more pixel data than the picture has");
  std::memcpy(out, self->next, count);
  self->next += count;
  self->left -= count;
  self->budget -= count;
}

// What a row is after libpng's transformations.
enum class Samples { kGrey8, kGrey16, kIndex, kRgb };

Samples SamplesOf(const Ihdr& ihdr) {
  if (ihdr.colour == 3) return Samples::kIndex;
  if (ihdr.colour & 2) return Samples::kRgb;
  return ihdr.colour == 0 && ihdr.bits == 16 ? Samples::kGrey16 : Samples::kGrey8;
}

int64_t SampleBytes(Samples samples) {
  return samples == Samples::kRgb ? 3 : samples == Samples::kGrey16 ? 2 : 1;
}

void ToRgb(Samples samples, const uint8_t* in, int64_t count, Grey16 grey16, const Palette& palette,
           uint8_t* rgb) {
  switch (samples) {
    case Samples::kRgb:
      break;  // decoded in place
    case Samples::kGrey8:
      GreyToRgb(in, count, rgb);
      break;
    case Samples::kIndex:
      PaletteToRgb(in, count, palette, rgb);
      break;
    case Samples::kGrey16:
      for (int64_t i = 0; i < count; ++i) {
        const uint32_t value = static_cast<uint32_t>(in[2 * i]) << 8 | in[2 * i + 1];
        std::memset(rgb + 3 * i, Grey16To8(value, grey16), 3);
      }
      break;
  }
}

struct Target {
  Ihdr ihdr;
  Samples samples;
  Grey16 grey16;
  uint8_t* rgb;
  uint8_t* rows;  // one row of samples, or all of an interlaced picture
  Palette palette;
};

void SetUp(png_structp png, png_infop info, Target& target, const Limits& limits) {
  png_set_user_limits(png, static_cast<png_uint_32>(limits.side_max),
                      static_cast<png_uint_32>(limits.side_max));
  png_set_chunk_malloc_max(png, 1U << 20);
  png_set_chunk_cache_max(png, 16);
  // Colour profiles, texts and the like are passed over, never inflated.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_read_info(png, info);
  if (png_get_image_width(png, info) != target.ihdr.width ||
      png_get_image_height(png, info) != target.ihdr.height ||
      png_get_bit_depth(png, info) != target.ihdr.bits ||
      png_get_color_type(png, info) != target.ihdr.colour) {
    png_error(png, "more than one header");
  }
  if (target.samples == Samples::kIndex) {
    png_colorp colours = nullptr;
    int count = 0;
    png_get_PLTE(png, info, &colours, &count);
    for (int i = 0; i < count; ++i) {
      target.palette.rgb[i][0] = colours[i].red;
      target.palette.rgb[i][1] = colours[i].green;
      target.palette.rgb[i][2] = colours[i].blue;
    }
    png_set_packing(png);
    png_set_check_for_invalid_index(png, 0);  // the ramp answers for those, as in Pillow
  } else {
    if (target.ihdr.bits < 8) png_set_expand_gray_1_2_4_to_8(png);
    if (target.samples != Samples::kGrey16) png_set_strip_16(png);
    png_set_strip_alpha(png);
  }
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  if (static_cast<int64_t>(png_get_rowbytes(png, info)) !=
      target.ihdr.width * SampleBytes(target.samples)) {
    png_error(png, "unexpected row size");
  }
}

// False on an error, which is in decoder.message. No object with a destructor may live here: libpng
// leaves by longjmp.
bool Run(Decoder& decoder, Target& target, const Limits& limits) {
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, OnError,
                                           [](png_structp, png_const_charp) {});
  png_infop info = png == nullptr ? nullptr : png_create_info_struct(png);
  if (info == nullptr || setjmp(png_jmpbuf(png)) != 0) {
    png_destroy_read_struct(&png, &info, nullptr);
    return false;
  }
  png_set_read_fn(png, &decoder, OnRead);
  SetUp(png, info, target, limits);
  const Ihdr& ihdr = target.ihdr;
  const int64_t stride = ihdr.width * SampleBytes(target.samples);
  // libpng inflates to its end whatever follows the last row, gigabytes if the file wants it; a row
  // that reads far more than it can hold is such a file.
  const size_t budget =
      static_cast<size_t>(ihdr.width * ihdr.Channels() * std::max(ihdr.bits / 8, 1)) * 2 +
      (64U << 10);
  const bool rgb = target.samples == Samples::kRgb;
  for (int pass = 0; pass < (ihdr.interlaced ? 7 : 1); ++pass) {
    for (int64_t y = 0; y < ihdr.height; ++y) {
      decoder.budget = budget;
      uint8_t* out = target.rgb + y * ihdr.width * 3;
      uint8_t* row = rgb ? out : target.rows + (ihdr.interlaced ? y * stride : 0);
      png_read_row(png, row, nullptr);
      if (!ihdr.interlaced) {
        ToRgb(target.samples, row, ihdr.width, target.grey16, target.palette, out);
      }
    }
  }
  png_destroy_read_struct(&png, &info, nullptr);
  if (ihdr.interlaced) {
    ToRgb(target.samples, target.rows, ihdr.width * ihdr.height, target.grey16, target.palette,
          target.rgb);
  }
  return true;
}

}  // namespace

absl::StatusOr<Header> ReadPngHeader(std::string_view bytes) {
  HFWA_ASSIGN_OR_RETURN(const Ihdr ihdr, ParseIhdr(Bytes(bytes)));
  Header header{.format = Format::kPng,
                .width = static_cast<int>(ihdr.width),
                .height = static_cast<int>(ihdr.height)};
  // Damage behind the header is for the decoder to tell.
  const absl::StatusOr<Chunks> chunks = WalkChunks(Bytes(bytes));
  if (chunks.ok()) header.orientation = chunks->orientation;
  return header;
}

absl::StatusOr<Image> DecodePng(std::string_view data, const DecodeOptions& options) {
  const Bytes bytes(data);
  HFWA_ASSIGN_OR_RETURN(const Ihdr ihdr, ParseIhdr(bytes));
  HFWA_ASSIGN_OR_RETURN(const Chunks chunks, WalkChunks(bytes));
  HFWA_RETURN_IF_ERROR(CheckSize("PNG", ihdr.width, ihdr.height, options.limits));
  // Deflate makes at most 1032 bytes of one.
  const int64_t raw_bytes = (ihdr.width * ihdr.Channels() * ihdr.bits + 7) / 8 * ihdr.height;
  if (raw_bytes / 1032 > static_cast<int64_t>(chunks.data_bytes)) {
    return Invalid("PNG with ", chunks.data_bytes, " bytes of pixel data cannot hold ", ihdr.width,
                   " x ", ihdr.height, " pixels");
  }
  HFWA_ASSIGN_OR_RETURN(Image image, NewImage("PNG", ihdr.width, ihdr.height, options.limits));
  Target target{.ihdr = ihdr,
                .samples = SamplesOf(ihdr),
                .grey16 = options.grey16,
                .rgb = image.rgb.data(),
                .rows = nullptr,
                .palette = GreyRamp()};
  std::vector<uint8_t> rows;
  if (target.samples != Samples::kRgb) {
    rows.resize(static_cast<size_t>(ihdr.width * SampleBytes(target.samples) *
                                    (ihdr.interlaced ? ihdr.height : 1)));
    target.rows = rows.data();
  }
  Decoder decoder{.next = data.data(), .left = data.size(), .budget = data.size(), .message = {}};
  if (!Run(decoder, target, options.limits)) return Invalid("PNG: ", decoder.message);
  return image;
}

}  // namespace hfwa::image::internal
