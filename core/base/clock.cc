#include "core/base/clock.h"

#include <chrono>

namespace hfwa {
namespace {

class RealClock final : public Clock {
 public:
  absl::Duration SteadyNow() const override {
    return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
  }
  absl::Time WallNow() const override { return absl::Now(); }
};

}  // namespace

const Clock& Clock::Real() {
  static const RealClock clock;
  return clock;
}

}  // namespace hfwa
