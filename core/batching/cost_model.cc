#include "core/batching/cost_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace hfwa::batching {

namespace {
// Weight of the past after each batch: the last 20 decide on the level and on the error. A busy
// device has batches of one size for long, so the shape remembers 200.
constexpr double kForget = 0.95;
constexpr double kForgetShape = 0.995;
constexpr int kTrialEvery = 64;
constexpr double kHiccup = 3;
constexpr double kMarginErrors = 4;  // mean errors; of a normal distribution three deviations
}  // namespace

void CostModel::Sums::Add(double size, double seconds, double forget) {
  w = forget * w + 1;
  b = forget * b + size;
  bb = forget * bb + size * size;
  t = forget * t + seconds;
  bt = forget * bt + size * seconds;
}

void CostModel::Observe(int size, absl::Duration took) {
  const double seconds = absl::ToDoubleSeconds(took);
  observed_ = (observed_ + 1) % kTrialEvery;
  const bool hiccup = item_seconds_ > 0 && took > kHiccup * Estimate(size);
  if (hiccup && !std::exchange(hiccup_, hiccup)) return;
  hiccup_ = hiccup;
  shape_.Add(size, seconds, kForgetShape);
  level_.Add(size, seconds, kForget);

  const double spread = shape_.w * shape_.bb - shape_.b * shape_.b;
  const double slope = spread > 0 ? (shape_.w * shape_.bt - shape_.b * shape_.t) / spread : 0;
  // Sizes that hardly vary say nothing of the slope: keep the known shape.
  if (spread > 1e-3 * shape_.w * shape_.bb && slope > 0) {
    item_seconds_ = slope;
    fixed_seconds_ = std::max(0.0, (shape_.t - slope * shape_.b) / shape_.w);
  }
  const double known = fixed_seconds_ * level_.w + item_seconds_ * level_.b;
  if (known > 0) {
    // The shape's past comes along, so that old batches of one size and new ones of another are
    // compared at one speed.
    const double change = level_.t / known;
    shape_.t *= change;
    shape_.bt *= change;
    fixed_seconds_ *= change;
    item_seconds_ *= change;
  } else {
    item_seconds_ = level_.t / level_.b;
  }
  const double line = fixed_seconds_ + item_seconds_ * size;
  const double error = line > 0 ? std::min(1.0, std::abs(seconds / line - 1)) : 0;
  error_ = kForget * error_ + (1 - kForget) * error;
}

absl::Duration CostModel::Estimate(int size) const {
  return absl::Seconds(fixed_seconds_ + item_seconds_ * size);
}

absl::Duration CostModel::Margin(int size, int batches) const {
  return Estimate(size) * (kMarginErrors * error_ * std::sqrt(batches));
}

int CostModel::UsefulSize(int size_max, double fixed_share_max) const {
  if (item_seconds_ <= 0) return size_max;
  // From here on the fixed cost is a small share of each item's own.
  const double size = std::ceil(fixed_seconds_ / (fixed_share_max * item_seconds_));
  return static_cast<int>(std::clamp(size, 1.0, static_cast<double>(size_max)));
}

int CostModel::NextSize(int size_max) const {
  const int size = UsefulSize(size_max);
  return observed_ + 1 < kTrialEvery ? size : std::min(2 * size, size_max);
}

}  // namespace hfwa::batching
