#pragma once

// The false positive rates of the paper's AUPRO (training-and-data spec, 7.5): a mean over images,
// at thresholds that are known only after the last of them.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "lab/metrics/metric.h"
#include "lab/metrics/scratch_file.h"

namespace hfwa::lab {

// lo + i * ((lo + step) - lo) below hi, with step = (hi - lo) / 200; empty where hi is lo.
std::vector<double> ReferenceThresholds(double low, double high);

// Keeps the normal pixels of each image, in memory or beyond `bytes_max` in a file. Not
// thread-safe.
class ThresholdFpr {
 public:
  ThresholdFpr(size_t bytes_max, std::string folder);

  // One image; without pixels it does not count.
  void Add(absl::Span<const float> normal_pixels);

  // For each of the ascending thresholds the mean over images of the share of pixels above it.
  // Empty if no image counts. Errors of the file.
  absl::StatusOr<std::vector<double>> Rates(const std::vector<double>& thresholds) const;

 private:
  absl::Status Spill();
  // The pixels of image i, in `buffer` or where they lie.
  absl::StatusOr<absl::Span<const float>> Pixels(size_t i, std::vector<float>& buffer) const;

  const size_t floats_max_;
  const std::string folder_;
  std::vector<float> floats_;  // that follow those on disk
  uint64_t floats_on_disk_ = 0;
  std::vector<uint64_t> starts_;  // of each image, among all floats
  uint64_t end_ = 0;
  std::optional<ScratchFile> file_;
  absl::Status status_;
};

// AUPRO from these rates and the mean overlap at the same thresholds.
Metric ReferenceAupro(const std::vector<double>& rates, const std::vector<double>& overlaps);

}  // namespace hfwa::lab
