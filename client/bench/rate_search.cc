#include "client/bench/rate_search.h"

#include <cmath>

namespace hfwa::bench {

std::optional<double> RateSearch::Next() const {
  if (next_ < least_) return std::nullopt;
  if (passed_.has_value() && failed_.has_value() && *failed_ < *passed_ * (1 + gap_)) {
    return std::nullopt;
  }
  return next_;
}

void RateSearch::Report(bool passed) {
  (passed ? passed_ : failed_) = next_;
  if (!failed_.has_value()) {
    next_ *= 2;
  } else if (!passed_.has_value()) {
    next_ /= 2;
  } else {
    next_ = std::sqrt(*passed_ * *failed_);
  }
}

}  // namespace hfwa::bench
