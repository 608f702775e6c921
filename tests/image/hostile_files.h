#pragma once

// Files that want too much, put together byte by byte.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hfwa::image {

// Numbers of a file, big-endian (JPEG, PNG) or little-endian (BMP, TIFF, WebP).
std::string Be16(uint32_t value);
std::string Be32(uint32_t value);
std::string Le16(uint32_t value);
std::string Le32(uint32_t value);

std::string Deflate(std::string_view bytes);

// A JPEG marker with its segment.
std::string JpegSegment(uint8_t marker, std::string_view payload);
// SOI, tables whose codes are all zero bits (DC: difference 0; AC: a run of 16384 blocks that end),
// and a frame header; `sampling` holds a byte for each component.
std::string JpegStart(uint8_t frame_marker, uint32_t width, uint32_t height,
                      std::string_view sampling);
// A scan over `components` (ids from 1) with `data` bytes of zeros.
std::string JpegScan(std::string_view components, uint32_t first, uint32_t last, uint32_t high_low,
                     size_t data);

std::string PngChunk(std::string_view type, std::string_view payload);
std::string PngStart(uint32_t width, uint32_t height, uint32_t bits, uint32_t colour,
                     bool interlaced);
// A whole PNG of zeros.
std::string PngOfZeros(uint32_t width, uint32_t height, uint32_t bits, uint32_t colour,
                       bool interlaced);

struct TiffTag {
  uint32_t tag;
  uint32_t type;  // 3 SHORT, 4 LONG
  uint32_t count;
  uint32_t value;  // or offset
};
// Header, `data` from offset 8, then the directory.
std::string Tiff(std::string_view data, const std::vector<TiffTag>& tags);

std::string Bmp(uint32_t width, uint32_t height, uint32_t bits, uint32_t compression,
                std::string_view data);

// A lossless WebP of one colour whose pixels take no bits.
std::string WebpOfOneColour(uint32_t width, uint32_t height);

struct HostileFile {
  std::string name;
  std::string bytes;
  bool from_header;  // refused before any decoder is asked
};
std::vector<HostileFile> HostileFiles();

}  // namespace hfwa::image
