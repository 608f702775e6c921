#include "client/bench/schedule.h"

#include <cmath>

namespace hfwa::bench {

double Random::Fraction() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

size_t Random::Below(size_t count) {
  return static_cast<size_t>(Fraction() * static_cast<double>(count));
}

Arrivals::Arrivals(ArrivalKind kind, double rate, uint64_t seed)
    : kind_(kind), rate_(rate), random_(seed) {}

absl::Duration Arrivals::Next() {
  arrived_ += kind_ == ArrivalKind::kConstant ? 1 : -std::log1p(-random_.Fraction());
  return absl::Seconds(arrived_ / rate_);
}

// Another stream of numbers than the arrivals of the same seed.
Mix::Mix(size_t products, size_t pictures, uint64_t seed)
    : products_(products), pictures_(pictures), random_(seed ^ 0x9e3779b97f4a7c15) {}

Pick Mix::Next() {
  const size_t product = random_.Below(products_);
  return {product, random_.Below(pictures_)};
}

}  // namespace hfwa::bench
