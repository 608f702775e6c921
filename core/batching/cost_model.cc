#include "core/batching/cost_model.h"

#include <algorithm>
#include <cmath>

namespace hfwa::batching {

namespace {
constexpr double kForget = 0.95;  // weight of the past after each batch: the last 20 decide
}  // namespace

void CostModel::Observe(int size, absl::Duration took) {
  const double b = size;
  const double t = absl::ToDoubleSeconds(took);
  w_ = kForget * w_ + 1;
  b_ = kForget * b_ + b;
  bb_ = kForget * bb_ + b * b;
  t_ = kForget * t_ + t;
  bt_ = kForget * bt_ + b * t;
  Fit();
}

void CostModel::Fit() {
  const double spread = w_ * bb_ - b_ * b_;
  const double slope = spread > 0 ? (w_ * bt_ - b_ * t_) / spread : 0;
  if (spread > 1e-3 * w_ * bb_ && slope > 0) {
    item_seconds_ = slope;
    fixed_seconds_ = std::max(0.0, (t_ - slope * b_) / w_);
    return;
  }
  // Sizes that hardly vary say nothing of the slope: keep the known shape, follow the level.
  const double known = fixed_seconds_ * w_ + item_seconds_ * b_;
  if (known > 0) {
    fixed_seconds_ *= t_ / known;
    item_seconds_ *= t_ / known;
  } else {
    item_seconds_ = t_ / b_;
  }
}

absl::Duration CostModel::Estimate(int size) const {
  return absl::Seconds(fixed_seconds_ + item_seconds_ * size);
}

int CostModel::UsefulSize(int size_max, double fixed_share_max) const {
  if (item_seconds_ <= 0) return size_max;
  // From here on the fixed cost is a small share of each item's own.
  const double size = std::ceil(fixed_seconds_ / (fixed_share_max * item_seconds_));
  return static_cast<int>(std::clamp(size, 1.0, static_cast<double>(size_max)));
}

}  // namespace hfwa::batching
