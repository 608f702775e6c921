#pragma once

// Pixel metrics of a class (training-and-data spec, section 7), map by map.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "lab/metrics/metric.h"
#include "lab/metrics/sweep.h"

namespace hfwa::lab {

struct PixelOptions {
  // AUPRO as the paper's program has it, besides the exact one; costs a second look at all pixels.
  bool reference_protocol = true;
  int connectivity = 8;  // of regions: 8 or 4
  // Beyond this, pixels go to a file without a name in `scratch` (empty: the system's folder for
  // temporary files). What is kept of one map, and 10 MB of tables, come on top.
  size_t memory_bytes = size_t{3} << 29;
  std::string scratch;
  int curve_points = 0;  // of each curve; 0: none
};

struct PixelMetrics {
  Ranking ranking;         // AUROC, AP, F1-max: the same in both protocols; AUPRO: exact, pooled
  Metric aupro_reference;  // undefined where it was not asked for
  uint64_t images = 0;
  uint64_t pixels = 0;
  uint64_t anomalous_pixels = 0;
  uint64_t regions = 0;
  float low = 0;  // of all pixels
  float high = 0;
  bool on_disk = false;  // memory did not suffice
};

// Exact, whatever the number of pixels: every distinct value of a map is a threshold. Not
// thread-safe.
class PixelMeter {
 public:
  explicit PixelMeter(const PixelOptions& options);
  ~PixelMeter();

  // One map, row by row, and its mask of the same size, not 0 where the defect is.
  // INVALID_ARGUMENT, with the meter unchanged, if sizes disagree or a value is not finite.
  absl::Status Add(absl::Span<const float> map, absl::Span<const uint8_t> mask, int width,
                   int height);

  // Once, after the last map. Errors of the file.
  absl::StatusOr<PixelMetrics> Finish();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hfwa::lab
