#pragma once

// A device and its callers in virtual time: what arrives, how long batches take and what goes wrong
// is given; what the planner makes of it is recorded and checked at each step.

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "core/batching/planner.h"

namespace hfwa::batching {

// The standard's distributions differ between libraries, these do not.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  double Unit() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }  // [0, 1)
  int Whole(int low, int high) {
    return low + static_cast<int>(engine_() % static_cast<uint64_t>(high - low + 1));
  }
  double Exponential(double mean);
  bool Chance(double probability) { return Unit() < probability; }

 private:
  std::mt19937_64 engine_;
};

struct Arrival {
  absl::Duration at;
  ItemInfo info;
  absl::Duration cancel_at = absl::InfiniteDuration();
};

// Arrivals at `rate` a second, without memory, in [from, to), each with `make(at)`.
void AddPoisson(std::vector<Arrival>& arrivals, Random& random, double rate, absl::Duration from,
                absl::Duration to, const std::function<Arrival(absl::Duration)>& make);
void SortByTime(std::vector<Arrival>& arrivals);

// t(b) = fixed + item * b, times what `slowness` says of the moment, give or take `noise`.
struct Device {
  double fixed_seconds = 0.005;
  double item_seconds = 0.001;
  double noise = 0;   // largest relative deviation
  double fails = 0;   // probability that a batch fails
  uint64_t seed = 1;  // of noise and failures
  std::function<double(absl::Duration)> slowness = [](absl::Duration) { return 1.0; };

  double Seconds(int size) const { return fixed_seconds + item_seconds * size; }
  double Capacity(int size) const { return size / Seconds(size); }  // items a second
};

enum class End { kFull, kTooLate, kExpired, kCancelled, kFailed, kOk };

struct Fate {
  Arrival arrival;
  End end = End::kOk;
  absl::Duration started = {}, ended = {};
  bool InTime() const { return end == End::kOk && ended <= arrival.info.deadline; }
  bool Admitted() const { return end != End::kFull && end != End::kTooLate; }
  absl::Duration Latency() const { return ended - arrival.at; }
};

struct Played {
  std::vector<Fate> fates;  // one for each arrival, in their order
  std::string trace;        // all that happened, in order
  std::string violation;    // the first broken promise; empty if none
  absl::Duration busy;      // of the device
};

// Runs the planner until the last item has ended.
Played Play(const PlannerOptions& options, const Device& device,
            const std::vector<Arrival>& arrivals);

// The same device and arrivals under a plan that knows the true times and takes earliest deadlines
// first, without limits: how many end in time.
int EarliestDeadlinePlan(int batch_max, const Device& device, const std::vector<Arrival>& arrivals);

// The `q` quantile of the latencies of those that are `chosen` and were answered.
absl::Duration Quantile(const std::vector<Fate>& fates, double q,
                        const std::function<bool(const Fate&)>& chosen);

}  // namespace hfwa::batching
