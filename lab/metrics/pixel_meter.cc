#include "lab/metrics/pixel_meter.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/image/mask.h"
#include "lab/metrics/partitions.h"
#include "lab/metrics/threshold_fpr.h"

namespace hfwa::lab {
namespace {

// Floats as integers of the same order; -0 and 0, which are equal, become one.
uint32_t ToKey(float value) {
  const auto bits = std::bit_cast<uint32_t>(value + 0.0F);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}
float FromKey(uint32_t key) {
  return std::bit_cast<float>((key & 0x80000000U) != 0 ? key & 0x7FFFFFFFU : ~key);
}

// A pixel of a defect: the lower half of its key, and its region.
struct Anomalous {
  uint16_t low;
  uint16_t region_low;
  uint16_t region_high;
};
static_assert(sizeof(Anomalous) == 6);

size_t Share(size_t bytes, int sixteenths) { return bytes / 16 * static_cast<size_t>(sixteenths); }

}  // namespace

class PixelMeter::Impl {
 public:
  explicit Impl(const PixelOptions& options)
      : options_(options),
        // Normal pixels take 2 bytes, anomalous ones, of which there are few, 6.
        normal_(Share(options.memory_bytes, 11), options.scratch),
        anomalous_(Share(options.memory_bytes, 3), options.scratch),
        rates_(Share(options.memory_bytes, 2), options.scratch) {}

  absl::Status Add(absl::Span<const float> map, absl::Span<const uint8_t> mask, int width,
                   int height);
  absl::StatusOr<PixelMetrics> Finish();

 private:
  // What lies in a part, by the lower half of the key.
  struct Tables {
    std::vector<uint64_t> normal = std::vector<uint64_t>(65536);
    std::vector<uint64_t> anomalous = std::vector<uint64_t>(65536);
    std::vector<double> overlap = std::vector<double>(65536);
  };
  absl::Status Fill(uint16_t part, Tables& tables) const;

  const PixelOptions options_;
  Partitions<uint16_t> normal_;
  Partitions<Anomalous> anomalous_;
  ThresholdFpr rates_;
  std::vector<uint32_t> areas_;
  std::vector<float> normal_pixels_;  // of one image
  PixelMetrics result_;
};

absl::Status PixelMeter::Impl::Add(absl::Span<const float> map, absl::Span<const uint8_t> mask,
                                   int width, int height) {
  const size_t pixels = map.size();
  if (width < 1 || height < 1 || mask.size() != pixels ||
      static_cast<size_t>(width) * static_cast<size_t>(height) != pixels) {
    return absl::InvalidArgumentError(absl::StrCat("a map of ", pixels, " and a mask of ",
                                                   mask.size(), " pixels are not ", width, "x",
                                                   height));
  }
  float low = map.front(), high = low;
  bool finite = true;
  for (const float value : map) {
    finite = finite && std::isfinite(value);
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (!finite) return absl::InvalidArgumentError("the map holds values that are not finite");
  HFWA_ASSIGN_OR_RETURN(const image::RegionLabels labels,
                        image::LabelRegions(mask, width, height, options_.connectivity));
  const auto first_region = static_cast<uint32_t>(areas_.size());
  areas_.resize(areas_.size() + static_cast<size_t>(labels.count));
  normal_pixels_.clear();
  for (size_t i = 0; i < pixels; ++i) {
    const uint32_t key = ToKey(map[i]);
    const auto part = static_cast<uint16_t>(key >> 16);
    const auto rest = static_cast<uint16_t>(key);
    const int label = labels.count == 0 ? 0 : labels.labels[i];
    if (label == 0) {
      normal_.Add(part, rest);
      if (options_.reference_protocol) normal_pixels_.push_back(map[i]);
    } else {
      const uint32_t region = first_region + static_cast<uint32_t>(label) - 1;
      ++areas_[region];
      anomalous_.Add(part,
                     {rest, static_cast<uint16_t>(region), static_cast<uint16_t>(region >> 16)});
      ++result_.anomalous_pixels;
    }
  }
  rates_.Add(normal_pixels_);
  result_.low = result_.images == 0 ? low : std::min(low, result_.low);
  result_.high = result_.images == 0 ? high : std::max(high, result_.high);
  ++result_.images;
  result_.pixels += pixels;
  return absl::OkStatus();
}

absl::Status PixelMeter::Impl::Fill(uint16_t part, Tables& tables) const {
  std::fill(tables.normal.begin(), tables.normal.end(), 0);
  HFWA_RETURN_IF_ERROR(normal_.Visit(part, [&](absl::Span<const uint16_t> records) {
    for (const uint16_t low : records) ++tables.normal[low];
  }));
  if (anomalous_.count(part) == 0) return absl::OkStatus();
  std::fill(tables.anomalous.begin(), tables.anomalous.end(), 0);
  std::fill(tables.overlap.begin(), tables.overlap.end(), 0);
  return anomalous_.Visit(part, [&](absl::Span<const Anomalous> records) {
    for (const Anomalous& record : records) {
      ++tables.anomalous[record.low];
      const uint32_t region = record.region_low | uint32_t{record.region_high} << 16;
      tables.overlap[record.low] += 1 / static_cast<double>(areas_[region]);
    }
  });
}

absl::StatusOr<PixelMetrics> PixelMeter::Impl::Finish() {
  result_.regions = areas_.size();
  Sweep sweep({.normal = result_.pixels - result_.anomalous_pixels,
               .anomalous = result_.anomalous_pixels,
               .regions = result_.regions},
              options_.curve_points);
  std::vector<double> thresholds;
  if (options_.reference_protocol) thresholds = ReferenceThresholds(result_.low, result_.high);
  std::vector<double> overlaps(thresholds.size());
  size_t above = thresholds.size();  // thresholds from here on were passed
  const auto pass = [&](double value) {
    for (; above > 0 && thresholds[above - 1] >= value; --above) overlaps[above - 1] = sweep.pro();
  };
  Tables tables;
  for (size_t i = Partitions<uint16_t>::kParts; i > 0; --i) {
    const auto part = static_cast<uint16_t>(i - 1);
    if (normal_.count(part) + anomalous_.count(part) == 0) continue;
    const bool any_anomalous = anomalous_.count(part) > 0;
    HFWA_RETURN_IF_ERROR(Fill(part, tables));
    for (size_t j = 65536; j > 0; --j) {
      const size_t low = j - 1;
      const uint64_t anomalous = any_anomalous ? tables.anomalous[low] : 0;
      if (tables.normal[low] + anomalous == 0) continue;
      const double value = FromKey(static_cast<uint32_t>(part) << 16 | static_cast<uint32_t>(low));
      pass(value);
      sweep.Add({.score = value,
                 .normal = tables.normal[low],
                 .anomalous = anomalous,
                 .overlap = any_anomalous ? tables.overlap[low] : 0});
    }
  }
  pass(-HUGE_VAL);
  result_.on_disk = normal_.on_disk() || anomalous_.on_disk();
  result_.ranking = sweep.Finish();
  if (!options_.reference_protocol) {
    result_.aupro_reference = Metric::Undefined("not asked for");
  } else if (!result_.ranking.aupro.defined()) {
    result_.aupro_reference = result_.ranking.aupro;
  } else if (thresholds.empty()) {
    result_.aupro_reference = Metric::Undefined("constant maps");
  } else {
    HFWA_ASSIGN_OR_RETURN(const std::vector<double> rates, rates_.Rates(thresholds));
    result_.aupro_reference = ReferenceAupro(rates, overlaps);
  }
  return std::move(result_);
}

PixelMeter::PixelMeter(const PixelOptions& options) : impl_(std::make_unique<Impl>(options)) {}
PixelMeter::~PixelMeter() = default;

absl::Status PixelMeter::Add(absl::Span<const float> map, absl::Span<const uint8_t> mask, int width,
                             int height) {
  return impl_->Add(map, mask, width, height);
}

absl::StatusOr<PixelMetrics> PixelMeter::Finish() { return impl_->Finish(); }

}  // namespace hfwa::lab
