// What the scheduler promises of fairness, overload and lanes, measured in virtual time: each test
// plays a scenario with and without the disturbance.

#include <gtest/gtest.h>

#include <iostream>

#include "tests/simulation/world.h"

namespace hfwa::batching {
namespace {

const PlannerOptions kOptions = {.batch_max = 8, .items_max = 512};

double Milliseconds(absl::Duration duration) { return absl::ToDoubleMilliseconds(duration); }

// Two kinds of device: one that gains much from batches, one that gains nothing (a CPU).
const Device kGpu = {.fixed_seconds = 0.004, .item_seconds = 0.001};
const Device kCpu = {.fixed_seconds = 0, .item_seconds = 0.050};

int UsefulBatch(const Device& device) { return device.fixed_seconds > 0 ? 8 : 1; }
absl::Duration Length(const Device& device) {
  return device.fixed_seconds > 0 ? absl::Seconds(60) : absl::Minutes(10);
}

// Ten products, each at a tenth of `load` times the capacity, but the first at `first` times that.
std::vector<Arrival> TenProducts(const Device& device, double load, double first,
                                 absl::Duration patience) {
  const absl::Duration length = Length(device);
  std::vector<Arrival> arrivals;
  for (uint64_t p = 0; p < 10; ++p) {
    Random random(p + 1);
    const double rate = load * device.Capacity(8) / 10 * (p == 0 ? first : 1);
    AddPoisson(arrivals, random, rate, {}, length, [&](absl::Duration at) {
      return Arrival{.at = at, .info = {.product = p, .deadline = at + patience}};
    });
  }
  SortByTime(arrivals);
  return arrivals;
}

void PrintTo(const Device& device, std::ostream* out) {
  *out << (device.fixed_seconds > 0 ? "gpu" : "cpu");
}

struct FairCase {
  Device device;
  absl::Duration patience;
};
void PrintTo(const FairCase& fair, std::ostream* out) { PrintTo(fair.device, out); }
class FairnessTest : public ::testing::TestWithParam<FairCase> {};

TEST_P(FairnessTest, a_product_at_ten_times_its_share_hardly_delays_the_others) {
  const auto others = [](const Fate& fate) { return fate.arrival.info.product != 0; };
  const auto& [device, patience] = GetParam();
  const Played calm = Play(kOptions, device, TenProducts(device, 0.9, 1, patience));
  const Played disturbed = Play(kOptions, device, TenProducts(device, 0.9, 10, patience));
  ASSERT_EQ(calm.violation + disturbed.violation, "");
  const absl::Duration before = Quantile(calm.fates, 0.99, others);
  const absl::Duration after = Quantile(disturbed.fates, 0.99, others);
  int refused = 0, all = 0;
  for (const Fate& fate : disturbed.fates) {
    if (!others(fate)) continue;
    ++all;
    refused += fate.InTime() ? 0 : 1;
  }
  std::cout << "p99 of the others " << Milliseconds(before) << " ms, beside the hog "
            << Milliseconds(after) << " ms; not served " << refused << " of " << all << "\n";
  EXPECT_LE(after, 1.2 * before);
  EXPECT_LE(refused, all / 1000);
}

INSTANTIATE_TEST_SUITE_P(Devices, FairnessTest,
                         ::testing::Values(FairCase{kGpu, absl::InfiniteDuration()},
                                           FairCase{kGpu, absl::Milliseconds(200)},
                                           FairCase{kCpu, absl::InfiniteDuration()},
                                           FairCase{kCpu, absl::Seconds(2)}));

struct LoadCase {
  Device device;
  double noise;
  double first;  // the first product's part, in shares
};
void PrintTo(const LoadCase& load, std::ostream* out) { PrintTo(load.device, out); }
class OverloadTest : public ::testing::TestWithParam<LoadCase> {};

TEST_P(OverloadTest, four_times_the_load_is_refused_at_once_and_the_rest_kept) {
  auto [device, noise, first] = GetParam();
  device.noise = noise;
  const absl::Duration patience = 10 * absl::Seconds(device.Seconds(UsefulBatch(device)));
  const Played played = Play(kOptions, device, TenProducts(device, 4, first, patience));
  ASSERT_EQ(played.violation, "");
  int admitted = 0, in_time = 0;
  for (const Fate& fate : played.fates) {
    admitted += fate.Admitted() ? 1 : 0;
    in_time += fate.InTime() ? 1 : 0;
  }
  const double goodput = in_time / absl::ToDoubleSeconds(Length(device)) / device.Capacity(8);
  std::cout << "goodput " << goodput << " of capacity, in time " << in_time << " of " << admitted
            << " admitted, " << played.fates.size() << " sent\n";
  EXPECT_GE(goodput, 0.95);
  EXPECT_GE(in_time, 0.99 * admitted);
}

INSTANTIATE_TEST_SUITE_P(Loads, OverloadTest,
                         ::testing::Values(LoadCase{kGpu, 0, 1}, LoadCase{kGpu, 0.1, 1},
                                           LoadCase{kGpu, 0, 10}, LoadCase{kCpu, 0, 1},
                                           LoadCase{kCpu, 0.1, 1}, LoadCase{kCpu, 0, 10}));

class LanesTest : public ::testing::TestWithParam<Device> {};

// Bulk costs live the batch that is on the device when it comes, which cannot be taken back, and
// when live itself queues, one bulk batch in five.
TEST_P(LanesTest, bulk_work_costs_live_calls_the_batch_in_progress_only) {
  const Device device = GetParam();
  const absl::Duration length = Length(device);
  const auto play = [&](bool bulk) {
    Random random(1);
    std::vector<Arrival> arrivals;
    AddPoisson(arrivals, random, 0.5 * device.Capacity(8), {}, length,
               [](absl::Duration at) { return Arrival{.at = at, .info = {.lane = Lane::kLive}}; });
    if (bulk) {
      AddPoisson(arrivals, random, 2 * device.Capacity(8), {}, length, [](absl::Duration at) {
        return Arrival{.at = at, .info = {.lane = Lane::kBulk, .product = 1}};
      });
    }
    SortByTime(arrivals);
    return Play(kOptions, device, arrivals);
  };
  const auto live = [](const Fate& fate) { return fate.arrival.info.lane == Lane::kLive; };
  const Played alone = play(false);
  const Played beside = play(true);
  ASSERT_EQ(alone.violation + beside.violation, "");
  const absl::Duration before = Quantile(alone.fates, 0.99, live);
  const absl::Duration after = Quantile(beside.fates, 0.99, live);
  int bulk_done = 0;
  for (const Fate& fate : beside.fates) bulk_done += !live(fate) && fate.end == End::kOk ? 1 : 0;
  const double bulk_part = bulk_done / absl::ToDoubleSeconds(length) / device.Capacity(8);
  std::cout << "live p99 " << Milliseconds(before) << " ms, beside bulk " << Milliseconds(after)
            << " ms, of which one batch is " << 1e3 * device.Seconds(UsefulBatch(device))
            << " ms; bulk gets " << bulk_part << " of the capacity\n";
  EXPECT_LE(after, 1.1 * before + absl::Seconds(device.Seconds(UsefulBatch(device))));
  EXPECT_GE(beside.busy, 0.99 * length);
  for (const Fate& fate : beside.fates) EXPECT_TRUE(!live(fate) || fate.end == End::kOk);
}

INSTANTIATE_TEST_SUITE_P(Devices, LanesTest, ::testing::Values(kGpu, kCpu));

// Traces on which the plan that knows the true times keeps every deadline.
TEST(GoodputTest, comes_near_an_earliest_deadline_plan_on_feasible_traces) {
  int feasible = 0;
  double worst = 1, sum = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    Random random(seed);
    const Device device{.fixed_seconds = 0.02 * random.Unit(),
                        .item_seconds = 0.001 + 0.01 * random.Unit()};
    const int products = random.Whole(1, 8);
    const double load = 0.2 + 0.7 * random.Unit();
    const double patience = 2 + 20 * random.Unit();  // in full batches
    std::vector<Arrival> arrivals;
    for (int p = 0; p < products; ++p) {
      AddPoisson(arrivals, random, load * device.Capacity(8) / products, {}, absl::Seconds(10),
                 [&](absl::Duration at) {
                   const double time = device.Seconds(8) * (2 + patience * random.Unit());
                   return Arrival{.at = at,
                                  .info = {.product = static_cast<uint64_t>(p),
                                           .deadline = at + absl::Seconds(time)}};
                 });
    }
    SortByTime(arrivals);
    const int plan = EarliestDeadlinePlan(8, device, arrivals);
    if (plan < static_cast<int>(arrivals.size())) continue;
    ++feasible;
    const Played played = Play(kOptions, device, arrivals);
    ASSERT_EQ(played.violation, "") << seed;
    int in_time = 0;
    for (const Fate& fate : played.fates) in_time += fate.InTime() ? 1 : 0;
    const double ratio = in_time / static_cast<double>(plan);
    worst = std::min(worst, ratio);
    sum += ratio;
    EXPECT_GE(ratio, 0.95) << "seed " << seed;
  }
  std::cout << feasible << " feasible traces; goodput of the plan's: mean " << sum / feasible
            << ", worst " << worst << "\n";
  EXPECT_GE(feasible, 100);
}

}  // namespace
}  // namespace hfwa::batching
