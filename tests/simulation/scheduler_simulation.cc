// The planner in random worlds: arrivals that are steady, bursty, daily or hostile, all lanes,
// several products of which one may take ten times its share, deadlines, cancellations, batch times
// with noise, stalls and drift, batches that fail. World checks the promises at each step; a
// failing seed prints how to run it alone.

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <iostream>

#include "tests/simulation/world.h"

#ifndef HFWA_SIMULATION_SEEDS
#define HFWA_SIMULATION_SEEDS 10000
#endif

namespace hfwa::batching {
namespace {

constexpr absl::Duration kLength = absl::Seconds(4);

struct Scenario {
  PlannerOptions options;
  Device device;
  std::vector<Arrival> arrivals;
};

Device RandomDevice(Random& random, uint64_t seed) {
  Device device;
  device.fixed_seconds = random.Chance(0.2) ? 0 : 0.020 * random.Unit();
  device.item_seconds = 0.0005 + 0.010 * random.Unit();
  device.noise = random.Chance(0.5) ? 0 : 0.3 * random.Unit();
  device.fails = random.Chance(0.7) ? 0 : 0.1 * random.Unit();
  device.seed = seed;
  const double drift = random.Chance(0.5) ? 0 : random.Unit();     // slower by this each second
  const double jump = random.Chance(0.3) ? 2 : 1;                  // in the second half
  const int stall = random.Chance(0.3) ? random.Whole(3, 30) : 0;  // at this hundredth of a second
  device.slowness = [=](absl::Duration at) {
    const double seconds = absl::ToDoubleSeconds(at);
    const bool stalls = stall > 0 && static_cast<int>(100 * seconds) % (10 * stall) == stall;
    return (1 + drift * seconds) * (seconds > 1 ? jump : 1) * (stalls ? 10 : 1);
  };
  return device;
}

// What one product sends: how much, in which pattern, how urgent.
class Source {
 public:
  Source(Random& random, uint64_t product, double rate, const Device& device)
      : random_(random), product_(product), rate_(rate), batch_seconds_(device.Seconds(8)) {
    lanes_ = {random.Unit(), random.Chance(0.5) ? random.Unit() : 0,
              random.Chance(0.3) ? 0.3 * random.Unit() : 0};
    patience_ = 20 * random.Unit();
    hurried_ = random.Unit();
    cancelled_ = random.Chance(0.5) ? 0 : 0.3 * random.Unit();
  }

  void Send(std::vector<Arrival>& arrivals) {
    const auto make = [this](absl::Duration at) { return Make(at); };
    const absl::Duration end = kLength;
    switch (random_.Whole(0, 3)) {
      case 0:
        AddPoisson(arrivals, random_, rate_, {}, end, make);
        break;
      case 1:  // bursts: five times the rate a fifth of the time
        for (absl::Duration at; at < end; at += absl::Milliseconds(500))
          AddPoisson(arrivals, random_, 5 * rate_, at, at + absl::Milliseconds(100), make);
        break;
      case 2:  // a day with night and noon
        for (int hour = 0; hour < 24; ++hour) {
          const double sun = 1 - std::cos(hour * M_PI / 12);
          if (sun < 0.01) continue;
          AddPoisson(arrivals, random_, rate_ * sun, hour * end / 24, (hour + 1) * end / 24, make);
        }
        break;
      default:  // hostile: all at once, again and again
        for (absl::Duration at; at < end; at += absl::Milliseconds(random_.Whole(50, 400))) {
          const int count = random_.Whole(1, 60);
          for (int i = 0; i < count; ++i) arrivals.push_back(make(at));
        }
    }
  }

 private:
  Arrival Make(absl::Duration at) {
    Arrival arrival{.at = at, .info = {.product = product_}};
    double lane = random_.Unit() * (lanes_[0] + lanes_[1] + lanes_[2]);
    for (int i = 0; i < kLanes; ++i) {
      if (lane < lanes_[static_cast<size_t>(i)]) {
        arrival.info.lane = static_cast<Lane>(i);
        break;
      }
      lane -= lanes_[static_cast<size_t>(i)];
    }
    if (random_.Chance(hurried_))
      arrival.info.deadline = at + absl::Seconds(batch_seconds_ * patience_ * random_.Unit());
    if (random_.Chance(cancelled_))
      arrival.cancel_at = at + absl::Seconds(batch_seconds_ * 10 * random_.Unit());
    arrival.info.bytes = random_.Whole(0, 3000);
    arrival.info.alone = arrival.info.lane == Lane::kRegister && random_.Chance(0.3);
    return arrival;
  }

  Random& random_;
  const uint64_t product_;
  const double rate_;
  const double batch_seconds_;
  std::array<double, kLanes> lanes_;
  double patience_, hurried_, cancelled_;
};

Scenario MakeScenario(uint64_t seed) {
  Random random(seed);
  Scenario scenario;
  scenario.options.batch_max = random.Whole(1, 16);
  scenario.options.items_max = random.Whole(1, 200);
  scenario.options.bytes_max = random.Whole(1000, 300000);
  scenario.options.fairness = {.credit = random.Whole(0, 64)};
  scenario.options.live_credit = random.Whole(0, 16);
  if (random.Chance(0.3))
    scenario.options.unhurried_wait_max = absl::Milliseconds(random.Whole(0, 500));
  for (double& weight : scenario.options.lane_weights) weight = random.Whole(1, 16);
  scenario.device = RandomDevice(random, seed);
  const double load = 3 * random.Unit() * random.Unit() + 0.1;
  const int products = random.Whole(1, 6);
  const double rate = std::min(150.0, load * scenario.device.Capacity(scenario.options.batch_max));
  const bool hog = random.Chance(0.3);
  for (int p = 0; p < products; ++p) {
    Source(random, static_cast<uint64_t>(p), rate / products * (hog && p == 0 ? 10 : 1),
           scenario.device)
        .Send(scenario.arrivals);
  }
  SortByTime(scenario.arrivals);
  return scenario;
}

Played PlaySeed(uint64_t seed) {
  const Scenario scenario = MakeScenario(seed);
  return Play(scenario.options, scenario.device, scenario.arrivals);
}

int Setting(const char* name, int fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::atoi(text);
}

TEST(SchedulerSimulation, promises_hold_for_every_seed) {
  const int only = Setting("HFWA_SIMULATION_SEED", -1);
  const int first = std::max(only, 0);
  const int count = only >= 0 ? 1 : Setting("HFWA_SIMULATION_SEEDS", HFWA_SIMULATION_SEEDS);
  std::array<int64_t, 6> ends = {};
  for (int seed = first; seed < first + count; ++seed) {
    const auto replay = [seed] {
      return "seed " + std::to_string(seed) +
             "; to run it alone:\n  HFWA_SIMULATION_SEED=" + std::to_string(seed) +
             " build/release/tests/scheduler_simulation --gtest_filter='*promises_hold*'";
    };
    const Played played = PlaySeed(static_cast<uint64_t>(seed));
    ASSERT_EQ(played.violation, "") << replay();
    ASSERT_TRUE(played.trace == PlaySeed(static_cast<uint64_t>(seed)).trace)
        << "two runs differ; " << replay();
    for (const Fate& fate : played.fates) ++ends[static_cast<size_t>(fate.end)];
    if (only >= 0) std::cout << played.trace << "\n";
  }
  if (only >= 0) return;
  // The scenarios reach every way in which an item can end.
  for (size_t end = 0; end < ends.size(); ++end) EXPECT_GT(ends[end], 0) << end;
}

}  // namespace
}  // namespace hfwa::batching
