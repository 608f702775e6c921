#pragma once

// Pixels to tensor, as Pillow (12.3 and before) and torchvision do it, bit for bit
// (training-and-data spec, sections 5.1, 5.5, 5.6).

#include <array>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/image/image.h"

namespace hfwa::image {

enum class Resampling { kBilinear, kBicubic };

// Pillow's antialiased 8-bit resize: horizontal pass first, each pass rounded to 8 bits.
// `width` and `height` at least 1.
Image Resize(const Image& image, int width, int height, Resampling resampling);

// The same over one channel: pixels[h * w], row by row.
std::vector<uint8_t> ResizeGrey(absl::Span<const uint8_t> pixels, int width, int height,
                                int new_width, int new_height, Resampling resampling);

struct Normalization {
  std::array<float, 3> mean;
  std::array<float, 3> std;
};

// (v / 255 - mean) / std in fp32, three roundings; writes CHW: out[(c * height + y) * width + x].
// `out` holds 3 * width * height floats.
void ToTensor(const Image& image, const Normalization& normalization, absl::Span<float> out);

}  // namespace hfwa::image
