#pragma once

// Defect masks of data sets, as the paper's code reads them (training-and-data spec, section 5.6).

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/image/image.h"

namespace hfwa::image {

// A prepared mask: 255 where the defect is, values between along its rim.
struct Mask {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> values;  // width * height, row by row
};

// A value counts as defect from here on: training takes every touched pixel, evaluation those more
// than half covered.
inline constexpr uint8_t kTrainingMaskMin = 1;
inline constexpr uint8_t kEvaluationMaskMin = 128;

// Luma > 0 becomes 255, then antialiased bilinear resizing. `image` must be decoded with
// DecodeOptions::Paper(). `width` and `height` at least 1.
Mask PrepareMask(const Image& image, int width, int height);

// The connected regions of a mask.
struct RegionLabels {
  int count = 0;
  std::vector<int32_t> labels;  // width * height; 0 outside, else 1 to count. Empty without regions
};

// `mask` holds width * height values, not 0 inside; `connectivity` is 4 or 8. RESOURCE_EXHAUSTED if
// memory does not suffice.
absl::StatusOr<RegionLabels> LabelRegions(absl::Span<const uint8_t> mask, int width, int height,
                                          int connectivity);

}  // namespace hfwa::image
