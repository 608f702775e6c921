#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hfwa::image {

// An 8-bit RGB picture, rows top to bottom without padding: rgb[(y * width + x) * 3 + c].
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;  // width * height * 3 bytes
};

// What a decoder may accept; checked from the header before anything is allocated.
struct Limits {
  size_t bytes_max = 32u << 20;     // size of the encoded file, and of raw pixel data
  int64_t pixels_max = 40'000'000;  // width * height
  int side_max = 16384;             // either side, in pixels
  int jpeg_scans_max = 64;
  size_t decoder_memory_max = 128u << 20;  // what a codec may allocate besides the picture, bytes
};

}  // namespace hfwa::image
