#include "lab/metrics/threshold_fpr.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/status_macros.h"
#include "lab/metrics/sweep.h"

namespace hfwa::lab {
namespace {

constexpr int kThresholds = 200;

// The number of thresholds below a value: a guess from their even spacing, then looked up.
class Counter {
 public:
  explicit Counter(const std::vector<double>& thresholds)
      : thresholds_(thresholds),
        low_(thresholds.front()),
        scale_(thresholds.size() > 1 ? 1 / (thresholds[1] - thresholds[0]) : 0) {}

  size_t Below(float value) const {
    const double wide = value;
    const double guess = (wide - low_) * scale_;
    const double last = static_cast<double>(thresholds_.size());
    auto count = guess > 0 ? static_cast<size_t>(std::min(guess, last)) : size_t{0};
    while (count > 0 && thresholds_[count - 1] >= wide) --count;
    while (count < thresholds_.size() && thresholds_[count] < wide) ++count;
    return count;
  }

 private:
  const std::vector<double>& thresholds_;
  const double low_;
  const double scale_;
};

}  // namespace

std::vector<double> ReferenceThresholds(double low, double high) {
  const double step = (high - low) / kThresholds;
  if (!(step > 0)) return {};
  std::vector<double> thresholds;
  const double stride = (low + step) - low;
  const double count = std::ceil((high - low) / step);
  thresholds.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) thresholds.push_back(low + i * stride);
  return thresholds;
}

ThresholdFpr::ThresholdFpr(size_t bytes_max, std::string folder)
    : floats_max_(bytes_max / sizeof(float)), folder_(std::move(folder)) {}

void ThresholdFpr::Add(absl::Span<const float> normal_pixels) {
  if (normal_pixels.empty()) return;
  if (!floats_.empty() && floats_.size() + normal_pixels.size() > floats_max_ && status_.ok()) {
    status_ = Spill();
  }
  if (!status_.ok()) return;
  starts_.push_back(end_);
  end_ += normal_pixels.size();
  // Doubling would take half as much again.
  if (floats_.capacity() < floats_.size() + normal_pixels.size()) {
    floats_.reserve(std::min(std::max(2 * floats_.size(), size_t{1} << 20),
                             std::max(floats_max_, floats_.size() + normal_pixels.size())));
  }
  floats_.insert(floats_.end(), normal_pixels.begin(), normal_pixels.end());
}

absl::Status ThresholdFpr::Spill() {
  if (!file_.has_value()) {
    HFWA_ASSIGN_OR_RETURN(ScratchFile file, ScratchFile::Create(folder_));
    file_.emplace(std::move(file));
  }
  HFWA_RETURN_IF_ERROR(file_->Append(floats_.data(), floats_.size() * sizeof(float)));
  floats_on_disk_ += floats_.size();
  floats_.clear();
  return absl::OkStatus();
}

absl::StatusOr<absl::Span<const float>> ThresholdFpr::Pixels(size_t i,
                                                             std::vector<float>& buffer) const {
  const uint64_t start = starts_[i];
  const uint64_t count = (i + 1 < starts_.size() ? starts_[i + 1] : end_) - start;
  if (start >= floats_on_disk_) {
    return absl::Span<const float>(floats_.data() + (start - floats_on_disk_), count);
  }
  buffer.resize(count);
  HFWA_RETURN_IF_ERROR(file_->Read(start * sizeof(float), buffer.data(), count * sizeof(float)));
  return absl::Span<const float>(buffer);
}

absl::StatusOr<std::vector<double>> ThresholdFpr::Rates(
    const std::vector<double>& thresholds) const {
  HFWA_RETURN_IF_ERROR(status_);
  if (starts_.empty() || thresholds.empty()) return std::vector<double>();
  const Counter counter(thresholds);
  std::vector<double> sums(thresholds.size(), 0);
  std::vector<uint64_t> counts(thresholds.size() + 1);
  std::vector<float> buffer;
  for (size_t i = 0; i < starts_.size(); ++i) {
    HFWA_ASSIGN_OR_RETURN(const absl::Span<const float> pixels, Pixels(i, buffer));
    std::fill(counts.begin(), counts.end(), 0);
    for (const float value : pixels) ++counts[counter.Below(value)];
    uint64_t above = 0;
    for (size_t t = thresholds.size(); t > 0; --t) {
      above += counts[t];
      sums[t - 1] += static_cast<double>(above) / static_cast<double>(pixels.size());
    }
  }
  for (double& sum : sums) sum /= static_cast<double>(starts_.size());
  return sums;
}

Metric ReferenceAupro(const std::vector<double>& rates, const std::vector<double>& overlaps) {
  std::vector<std::pair<double, double>> kept;
  for (size_t i = 0; i < rates.size(); ++i) {
    if (rates[i] < kFprMax) kept.emplace_back(rates[i], overlaps[i]);
  }
  if (kept.size() < 2) return Metric::Undefined("fewer than two thresholds below the rate's limit");
  // Rates fall as thresholds rise.
  const double low = kept.back().first, high = kept.front().first;
  if (!(high > low)) return Metric::Undefined("all rates are equal");
  double area = 0;
  for (size_t i = 1; i < kept.size(); ++i) {
    const double width =
        (kept[i - 1].first - low) / (high - low) - (kept[i].first - low) / (high - low);
    area += width * (kept[i - 1].second + kept[i].second) / 2;
  }
  return {.value = area, .undefined = ""};
}

}  // namespace hfwa::lab
