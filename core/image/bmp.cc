// BMP. No library: the format is small, and Pillow's reading of it is what must be matched.

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "core/base/status_macros.h"
#include "core/image/codec.h"

namespace hfwa::image::internal {
namespace {

enum Compression : uint32_t { kRaw = 0, kRle8 = 1, kRle4 = 2, kBitFields = 3 };

struct BmpHeader {
  int64_t width = 0;
  int64_t height = 0;
  bool top_down = false;
  uint32_t bits = 0;
  uint32_t compression = kRaw;
  uint64_t palette_at = 0;
  uint64_t palette_entry = 4;  // bytes
  uint64_t colours = 0;
  uint64_t pixels_at = 0;
  uint32_t masks[3] = {};  // red, green, blue; 0 for palettes

  uint64_t RowBytes() const { return (static_cast<uint64_t>(width) * bits + 31) / 32 * 4; }
};

absl::Status ReadMasks(const Bytes& bytes, uint64_t header_size, BmpHeader& header) {
  if (header.bits != 16 && header.bits != 24 && header.bits != 32) {
    return Invalid("BMP: bit fields with ", header.bits, " bits a pixel");
  }
  for (uint64_t c = 0; c < 3; ++c) header.masks[c] = bytes.Le32(14 + 40 + 4 * c);
  // A header of 40 bytes is followed by the masks; longer ones hold them.
  if (header_size == 40) header.palette_at += 12;
  if ((header.masks[0] | header.masks[1] | header.masks[2]) == 0 && header.bits == 32) {
    header.masks[0] = 0xFF0000;
    header.masks[1] = 0xFF00;
    header.masks[2] = 0xFF;
  }
  for (uint32_t mask : header.masks) {
    const int width = std::popcount(mask);
    const bool fits = width >= 1 && width <= 8;
    // The width is checked first: a shift by 32 has no meaning.
    if (!fits || mask >> std::countr_zero(mask) != (1U << width) - 1) {
      return Invalid("BMP: unsupported bit fields");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<BmpHeader> ParseHeader(const Bytes& bytes) {
  const uint64_t size = bytes.Le32(14);
  const bool core = size == 12;
  if (!core && size != 40 && size != 52 && size != 56 && size != 64 && size != 108 && size != 124) {
    return Invalid("BMP: unknown header of ", size, " bytes");
  }
  if (!bytes.Has(14, size))
    return Invalid("BMP ends within its header, after ", bytes.size(), " bytes");
  BmpHeader header{.palette_at = 14 + size, .pixels_at = bytes.Le32(10)};
  if (core) {
    header.width = bytes.Le16(18);
    header.height = bytes.Le16(20);
    header.bits = bytes.Le16(24);
    header.palette_entry = 3;
  } else {
    header.width = bytes.Le32(18);
    header.height = static_cast<int32_t>(bytes.Le32(22));
    header.top_down = header.height < 0;
    header.height = std::abs(header.height);
    header.bits = bytes.Le16(28);
    header.compression = bytes.Le32(30);
    header.colours = bytes.Le32(46);
  }
  if (header.width < 1 || header.width > INT32_MAX || header.height < 1 ||
      header.height > INT32_MAX) {
    return Invalid("BMP says ", header.width, " x ", header.height, " pixels");
  }
  const uint32_t bits = header.bits;
  if (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32) {
    return Invalid("BMP: ", bits, " bits a pixel");
  }
  if (header.compression == kBitFields) {
    HFWA_RETURN_IF_ERROR(ReadMasks(bytes, size, header));
  } else if (bits == 16) {
    header.masks[0] = 0x7C00;
    header.masks[1] = 0x3E0;
    header.masks[2] = 0x1F;
  } else if (bits > 16) {
    header.masks[0] = 0xFF0000;
    header.masks[1] = 0xFF00;
    header.masks[2] = 0xFF;
  }
  const bool rle = header.compression == kRle8 || header.compression == kRle4;
  if (header.compression > kBitFields || (header.compression == kRle8 && bits != 8) ||
      (header.compression == kRle4 && bits != 4) || (rle && header.top_down)) {
    return Invalid("BMP: compression ", header.compression, " with ", bits,
                   " bits a pixel is not supported");
  }
  if (bits > 8) {
    header.colours = 0;
  } else {
    const uint64_t all = 1ULL << bits;
    if (header.colours == 0 || header.colours > all) header.colours = all;
    const uint64_t palette_bytes = header.colours * header.palette_entry;
    if (!bytes.Has(header.palette_at, palette_bytes)) {
      return Invalid("BMP ends within its palette, after ", bytes.size(), " bytes");
    }
  }
  if (header.pixels_at == 0) {
    header.pixels_at = header.palette_at + header.colours * header.palette_entry;
  }
  return header;
}

Palette ReadPalette(const Bytes& bytes, const BmpHeader& header) {
  Palette palette = GreyRamp();
  for (uint64_t i = 0; i < header.colours; ++i) {
    const uint64_t at = header.palette_at + i * header.palette_entry;
    for (uint64_t c = 0; c < 3; ++c) {
      palette.rgb[i][c] = static_cast<uint8_t>(bytes.U8(at + 2 - c));
    }
  }
  return palette;
}

void IndexRow(const uint8_t* in, int64_t width, uint32_t bits, const Palette& palette,
              uint8_t* rgb) {
  if (bits == 8) return PaletteToRgb(in, width, palette, rgb);
  const int per_byte = static_cast<int>(8 / bits);
  const uint32_t mask = (1U << bits) - 1;
  for (int64_t x = 0; x < width; ++x) {
    const int shift = static_cast<int>(bits) * (per_byte - 1 - static_cast<int>(x % per_byte));
    std::memcpy(rgb + 3 * x, palette.rgb[in[x / per_byte] >> shift & mask], 3);
  }
}

void ColourRow(const uint8_t* in, const BmpHeader& header, uint8_t* rgb) {
  const uint32_t pixel_bytes = header.bits / 8;
  uint32_t shift[3];
  uint32_t largest[3];
  for (int c = 0; c < 3; ++c) {
    shift[c] = static_cast<uint32_t>(std::countr_zero(header.masks[c]));
    largest[c] = header.masks[c] >> shift[c];
  }
  for (int64_t x = 0; x < header.width; ++x, in += pixel_bytes) {
    uint32_t pixel = in[0] | static_cast<uint32_t>(in[1]) << 8;
    if (pixel_bytes > 2) pixel |= static_cast<uint32_t>(in[2]) << 16;
    if (pixel_bytes > 3) pixel |= static_cast<uint32_t>(in[3]) << 24;
    for (int c = 0; c < 3; ++c) {
      const uint32_t value = pixel >> shift[c] & largest[c];
      rgb[3 * x + c] = static_cast<uint8_t>(largest[c] == 255 ? value : value * 255 / largest[c]);
    }
  }
}

// Run-length codes to palette indices, bottom row first. What the codes skip is index 0.
absl::Status DecodeRle(const Bytes& bytes, const BmpHeader& header, std::vector<uint8_t>& indices) {
  const bool nibbles = header.compression == kRle4;
  const int64_t width = header.width;
  int64_t x = 0;
  int64_t y = 0;
  const auto put = [&](uint32_t index) {  // beyond the row's end codes are dropped
    if (x < width) indices[static_cast<size_t>(y * width + x++)] = static_cast<uint8_t>(index);
  };
  uint64_t at = header.pixels_at;
  while (y < header.height) {
    if (!bytes.Has(at, 2))
      return Invalid("BMP ends within its pixels, after ", bytes.size(), " bytes");
    const uint32_t count = bytes.U8(at);
    const uint32_t code = bytes.U8(at + 1);
    at += 2;
    if (count > 0) {
      for (uint32_t i = 0; i < count; ++i)
        put(!nibbles ? code : i % 2 == 0 ? code >> 4 : code & 15);
    } else if (code == 0) {
      x = 0;
      ++y;
    } else if (code == 1) {
      break;
    } else if (code == 2) {
      if (!bytes.Has(at, 2))
        return Invalid("BMP ends within its pixels, after ", bytes.size(), " bytes");
      x = std::min<int64_t>(x + bytes.U8(at), width);
      y += bytes.U8(at + 1);
      at += 2;
    } else {
      const uint64_t stored = nibbles ? (code + 1) / 2 : code;
      if (!bytes.Has(at, stored))
        return Invalid("BMP ends within its pixels, after ", bytes.size(), " bytes");
      for (uint32_t i = 0; i < code; ++i) {
        if (nibbles) {
          put(bytes.U8(at + i / 2) >> (i % 2 == 0 ? 4 : 0) & 15);
        } else {
          put(bytes.U8(at + i));
        }
      }
      at += (stored + 1) / 2 * 2;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Header> ReadBmpHeader(std::string_view bytes) {
  HFWA_ASSIGN_OR_RETURN(const BmpHeader header, ParseHeader(Bytes(bytes)));
  return Header{.format = Format::kBmp,
                .width = static_cast<int>(header.width),
                .height = static_cast<int>(header.height)};
}

absl::StatusOr<Image> DecodeBmp(std::string_view data, const DecodeOptions& options) {
  const Bytes bytes(data);
  HFWA_ASSIGN_OR_RETURN(const BmpHeader header, ParseHeader(bytes));
  HFWA_RETURN_IF_ERROR(CheckSize("BMP", header.width, header.height, options.limits));
  const bool rle = header.compression == kRle8 || header.compression == kRle4;
  // The last row's padding may be missing.
  const uint64_t row_bytes = header.RowBytes();
  const uint64_t last_row = (static_cast<uint64_t>(header.width) * header.bits + 7) / 8;
  if (!rle && !bytes.Has(header.pixels_at,
                         row_bytes * static_cast<uint64_t>(header.height - 1) + last_row)) {
    return Invalid("BMP ends within its pixels, after ", bytes.size(), " bytes");
  }
  HFWA_ASSIGN_OR_RETURN(Image image, NewImage("BMP", header.width, header.height, options.limits));
  const Palette palette = ReadPalette(bytes, header);
  std::vector<uint8_t> indices;
  if (rle) {
    indices.resize(static_cast<size_t>(header.width * header.height));
    HFWA_RETURN_IF_ERROR(DecodeRle(bytes, header, indices));
  }
  const auto* pixels = reinterpret_cast<const uint8_t*>(data.data());
  for (int64_t y = 0; y < header.height; ++y) {
    const int64_t out_y = header.top_down ? y : header.height - 1 - y;
    uint8_t* rgb = image.rgb.data() + out_y * header.width * 3;
    const uint8_t* in = pixels + header.pixels_at + static_cast<uint64_t>(y) * row_bytes;
    if (rle) {
      PaletteToRgb(indices.data() + y * header.width, header.width, palette, rgb);
    } else if (header.bits <= 8) {
      IndexRow(in, header.width, header.bits, palette, rgb);
    } else {
      ColourRow(in, header, rgb);
    }
  }
  return image;
}

}  // namespace hfwa::image::internal
