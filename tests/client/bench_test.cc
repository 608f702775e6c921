// The load generator and its figures, in a time of their own and against a server made up for them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/bench/load_generator.h"
#include "client/bench/rate_search.h"
#include "client/bench/report.h"
#include "client/bench/report_html.h"
#include "client/bench/report_json.h"
#include "core/base/chart.h"

namespace hfwa::bench {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// Time and server in one: nothing waits in truth, and replies come when `answer` says.
class FakeWorld final : public Pacer, public Caller {
 public:
  struct Answer {
    absl::Duration at;
    Outcome outcome{};
  };
  // What becomes of a request sent at `now`.
  explicit FakeWorld(std::function<Answer(absl::Duration now)> answer)
      : answer_(std::move(answer)) {}

  absl::Duration Now() const override { return now_; }
  void WaitUntil(absl::Duration time) override {
    while (!woken_ && !replies_.empty() && replies_.begin()->first <= time) {
      auto reply = replies_.extract(replies_.begin());
      now_ = std::max(now_, reply.key());
      reply.mapped().first(reply.mapped().second);
    }
    if (!woken_) now_ = std::max(now_, time);
    woken_ = false;
  }
  void Wake() override { woken_ = true; }
  void Call(const Pick& pick, Done done) override {
    sent_at.push_back(now_);
    picks.push_back(pick);
    if (on_call) on_call();
    Answer answer = answer_(now_);
    replies_.emplace(answer.at, std::pair(std::move(done), std::move(answer.outcome)));
    most_outstanding = std::max(most_outstanding, replies_.size());
  }
  void CancelAll() override {
    for (auto& [at, reply] : std::exchange(replies_, {})) {
      reply.first({.code = absl::StatusCode::kCancelled});
    }
  }
  void Advance(absl::Duration by) { now_ += by; }

  std::vector<absl::Duration> sent_at;
  std::vector<Pick> picks;
  size_t most_outstanding = 0;
  std::function<void()> on_call;

 private:
  const std::function<Answer(absl::Duration)> answer_;
  absl::Duration now_ = absl::Seconds(1000);
  bool woken_ = false;
  std::multimap<absl::Duration, std::pair<Done, Outcome>> replies_;
};

// Answers each request so much later, however many there are.
auto After(absl::Duration delay) {
  return [delay](absl::Duration now) { return FakeWorld::Answer{now + delay}; };
}

// Works off one request after another, and does nothing at all from `stall` for a second.
class OneByOne {
 public:
  OneByOne(absl::Duration service, absl::Duration stall) : service_(service), stall_(stall) {}
  FakeWorld::Answer operator()(absl::Duration now) {
    absl::Duration begin = std::max(now, free_at_);
    if (begin >= stall_ && begin < stall_ + absl::Seconds(1)) begin = stall_ + absl::Seconds(1);
    free_at_ = begin + service_;
    return {free_at_};
  }

 private:
  const absl::Duration service_;
  const absl::Duration stall_;
  absl::Duration free_at_;
};

LoadOptions Open(double rate, absl::Duration duration) {
  return {.rate = rate,
          .arrivals = ArrivalKind::kConstant,
          .duration = duration,
          .warmup = absl::ZeroDuration()};
}

LoadOptions Closed(size_t concurrency, absl::Duration duration) {
  return {.concurrency = concurrency, .duration = duration, .warmup = absl::ZeroDuration()};
}

Recording RunLoad(const LoadOptions& options, FakeWorld& world,
                  const std::stop_token& interrupt = {}) {
  return LoadGenerator(options, world, world, [] { return 0.0; }).Run(interrupt);
}

Report Measure(const LoadOptions& options, FakeWorld& world) {
  return MakeReport(RunLoad(options, world), options, {}, 1);
}

// The schedule. -----------------------------------------------------------------------------------

TEST(ArrivalsTest, poisson_gaps_are_exponential_with_the_rate_as_mean) {
  constexpr int kCount = 50'000;
  Arrivals arrivals(ArrivalKind::kPoisson, 50, 7);
  std::vector<double> gaps;
  double before = 0;
  for (int i = 0; i < kCount; ++i) {
    const double at = absl::ToDoubleSeconds(arrivals.Next());
    gaps.push_back((at - before) * 50);  // In mean gaps.
    before = at;
  }
  EXPECT_NEAR(before, kCount / 50.0, 0.02 * kCount / 50.0);
  for (const double limit : {0.1, 0.5, 1.0, 2.0, 4.0}) {
    const auto longer =
        std::count_if(gaps.begin(), gaps.end(), [&](double g) { return g > limit; });
    EXPECT_NEAR(static_cast<double>(longer) / kCount, std::exp(-limit), 0.01) << limit;
  }
  // Gaps know nothing of each other.
  double products = 0;
  for (size_t i = 1; i < gaps.size(); ++i) products += (gaps[i] - 1) * (gaps[i - 1] - 1);
  EXPECT_NEAR(products / kCount, 0, 0.03);
}

TEST(ArrivalsTest, constant_gaps_are_all_alike) {
  Arrivals arrivals(ArrivalKind::kConstant, 8, 7);
  for (int i = 1; i <= 100; ++i) EXPECT_EQ(arrivals.Next(), i * absl::Milliseconds(125));
}

TEST(ArrivalsTest, seed_decides) {
  const auto first = [](uint64_t seed) {
    return absl::ToDoubleSeconds(Arrivals(ArrivalKind::kPoisson, 1, seed).Next());
  };
  EXPECT_EQ(first(1), first(1));
  EXPECT_NE(first(1), first(2));
  // The same on every machine.
  EXPECT_NEAR(first(1), 0.1437279, 1e-7);
}

TEST(MixTest, products_and_pictures_are_drawn_evenly_and_together_in_all_ways) {
  Mix mix(2, 3, 1);
  std::map<std::pair<size_t, size_t>, int> counts;
  for (int i = 0; i < 60'000; ++i) {
    const Pick pick = mix.Next();
    ++counts[{pick.product, pick.picture}];
  }
  EXPECT_EQ(counts.size(), 6u);
  for (const auto& [pick, count] : counts) EXPECT_NEAR(count, 10'000, 400);
}

// Percentiles. ------------------------------------------------------------------------------------

TEST(SummaryTest, percentiles_are_the_least_values_that_enough_do_not_exceed) {
  Random random(3);
  for (const size_t count : {1, 2, 3, 10, 99, 100, 101, 1000, 4321}) {
    std::vector<double> values;
    for (size_t i = 0; i < count; ++i) values.push_back(std::floor(1000 * random.Fraction()));
    std::sort(values.begin(), values.end());
    for (const double percent : {0.0, 1.0, 50.0, 90.0, 95.0, 99.0, 99.9, 100.0}) {
      // By the definition, in whole numbers.
      const auto expected = std::find_if(values.begin(), values.end(), [&](double value) {
        const auto not_above = std::upper_bound(values.begin(), values.end(), value);
        return 1000 * (not_above - values.begin()) >=
               std::lround(10 * percent) * static_cast<long>(count);
      });
      EXPECT_EQ(Percentile(values, percent), *expected) << count << ", " << percent;
    }
  }
}

TEST(SummaryTest, figures_are_those_of_the_values) {
  std::vector<double> values;
  for (int i = 1000; i >= 1; --i) values.push_back(i);
  const Summary summary = Summarize(values);
  EXPECT_EQ(summary.count, 1000u);
  EXPECT_EQ(summary.mean, 500.5);
  EXPECT_EQ(summary.p50, 500);
  EXPECT_EQ(summary.p99, 990);
  EXPECT_EQ(summary.p99_9, 999);
  EXPECT_EQ(summary.max, 1000);
  std::vector<double> none;
  EXPECT_EQ(Summarize(none).count, 0u);
}

// The generator. ----------------------------------------------------------------------------------

TEST(LoadGeneratorTest, open_loop_sends_on_time_whatever_becomes_of_the_others) {
  FakeWorld world(After(absl::Seconds(60)));
  const Recording recording = RunLoad(Open(10, absl::Seconds(2)), world);
  ASSERT_THAT(world.sent_at, SizeIs(19)) << "the 20th is due at the end";
  for (size_t i = 0; i < world.sent_at.size(); ++i) {
    EXPECT_EQ(world.sent_at[i], absl::Seconds(1000) + (i + 1) * absl::Milliseconds(100));
  }
  EXPECT_THAT(recording.samples, SizeIs(19)) << "all are waited for";
  EXPECT_EQ(recording.window_end, 2);
}

TEST(LoadGeneratorTest, closed_loop_keeps_as_many_outstanding_as_asked) {
  FakeWorld world(After(absl::Milliseconds(100)));
  const Report report = Measure(Closed(4, absl::Seconds(2)), world);
  EXPECT_EQ(world.most_outstanding, 4u);
  EXPECT_EQ(report.sent, 80u);
  EXPECT_EQ(report.ok, 80u);
  EXPECT_NEAR(report.throughput, 4 * 10, 2.1) << "the last four come when the window is closed";
  EXPECT_NEAR(report.latency_ms.p99, 100, 1e-6);
}

TEST(LoadGeneratorTest, seed_decides_what_is_sent) {
  LoadOptions options = Open(100, absl::Seconds(1));
  options.products = 3;
  options.pictures = 5;
  const auto picks = [&](uint64_t seed) {
    options.seed = seed;
    FakeWorld world(After(absl::Milliseconds(1)));
    RunLoad(options, world);
    std::vector<size_t> all;
    for (const Pick& pick : world.picks) all.push_back(pick.product * 5 + pick.picture);
    return all;
  };
  EXPECT_EQ(picks(1), picks(1));
  EXPECT_NE(picks(1), picks(2));
}

// Coordinated omission: who waits for an answer before the next request measures a stall once.
TEST(LoadGeneratorTest, stall_of_the_server_shows_in_the_open_loop) {
  const absl::Duration stall = absl::Seconds(1004);
  FakeWorld open_world(OneByOne(absl::Milliseconds(1), stall));
  const Report open = Measure(Open(100, absl::Seconds(20)), open_world);
  EXPECT_EQ(open.sent, 1999u);
  // Of 2000 requests 100 come while nothing happens, and wait up to a second.
  EXPECT_GT(open.latency_ms.p99, 750);
  EXPECT_GT(open.latency_ms.max, 990);
  EXPECT_LT(open.latency_ms.p90, 2);

  FakeWorld closed_world(OneByOne(absl::Milliseconds(1), stall));
  const Report closed = Measure(Closed(1, absl::Seconds(20)), closed_world);
  EXPECT_LT(closed.latency_ms.p99, 2);
}

TEST(LoadGeneratorTest, stall_of_the_generator_shows_in_the_latency_from_the_intended_time) {
  FakeWorld world(After(absl::Milliseconds(1)));
  world.on_call = [&] {
    if (world.sent_at.size() == 400) world.Advance(absl::Seconds(1));
  };
  const Report report = Measure(Open(100, absl::Seconds(20)), world);
  EXPECT_EQ(report.sent, 1999u) << "what is late is sent all the same";
  EXPECT_GT(report.latency_ms.p99, 750);
  EXPECT_LT(report.service_ms.p99, 2);
  EXPECT_NEAR(report.lag_ms.max, 990, 1);
  EXPECT_THAT(report.warnings, Contains(HasSubstr("sent late")));
  EXPECT_THAT(report.invalid, IsEmpty());
}

TEST(LoadGeneratorTest, requests_due_before_the_end_are_sent_when_the_generator_is_late) {
  FakeWorld world(After(absl::Milliseconds(1)));
  world.on_call = [&] {
    if (world.sent_at.size() == 50) world.Advance(absl::Seconds(10));
  };
  const Report report = Measure(Open(100, absl::Seconds(1)), world);
  EXPECT_EQ(report.sent, 99u);
  EXPECT_GT(report.latency_ms.p50, 9000);
}

TEST(LoadGeneratorTest, what_finds_no_room_is_counted_and_makes_the_run_invalid) {
  FakeWorld world(After(absl::Milliseconds(550)));
  LoadOptions options = Open(10, absl::Seconds(10));
  options.max_outstanding = 2;
  const Report report = Measure(options, world);
  EXPECT_EQ(report.intended(), 99u);
  EXPECT_EQ(report.sent + report.not_sent, 99u);
  EXPECT_NEAR(static_cast<double>(report.not_sent), 99 * 4 / 6.0, 2);
  EXPECT_EQ(report.most_outstanding, 2u);
  ASSERT_THAT(report.invalid, SizeIs(1));
  EXPECT_THAT(report.invalid[0], HasSubstr("were not sent because 2 were outstanding"));
}

TEST(LoadGeneratorTest, interrupt_ends_the_run_and_gives_up_what_is_outstanding) {
  std::stop_source stop;
  FakeWorld world(After(absl::Milliseconds(250)));
  world.on_call = [&] {
    if (world.sent_at.size() < 15) return;
    world.Advance(absl::Milliseconds(1));
    stop.request_stop();
  };
  const LoadOptions options = Open(10, absl::Seconds(60));
  const Recording recording = RunLoad(options, world, stop.get_token());
  const Report report = MakeReport(recording, options, {}, 1);
  EXPECT_EQ(report.sent, 15u);
  EXPECT_EQ(report.interrupted, 3u);
  EXPECT_EQ(report.ok, 12u);
  EXPECT_EQ(report.failed, 0u);
  EXPECT_NEAR(report.measured_s, 1.501, 1e-9);
  EXPECT_THAT(report.warnings, Contains(HasSubstr("interrupted; 3 requests")));
}

TEST(LoadGeneratorTest, run_is_not_valid_when_interrupted_in_the_warm_up) {
  std::stop_source stop;
  FakeWorld world(After(absl::Milliseconds(1)));
  world.on_call = [&] { stop.request_stop(); };
  LoadOptions options = Open(10, absl::Seconds(1));
  options.warmup = absl::Seconds(1);
  const Report report = MakeReport(RunLoad(options, world, stop.get_token()), options, {}, 1);
  EXPECT_EQ(report.measured_s, 0);
  EXPECT_EQ(report.intended(), 0u);
  EXPECT_THAT(report.invalid, Contains(HasSubstr("before the warm-up was over")));
  EXPECT_FALSE(nlohmann::json::parse(ToJson(report))["valid"]);
  EXPECT_THAT(ToHtml(report), HasSubstr("Not valid"));
}

TEST(LoadGeneratorTest, cpu_time_is_that_of_the_window) {
  FakeWorld world(After(absl::Milliseconds(1)));
  LoadOptions options = Open(10, absl::Seconds(4));
  options.warmup = absl::Seconds(2);
  LoadGenerator generator(options, world, world,
                          [&] { return absl::ToDoubleSeconds(world.Now()) * 0.5; });
  const Report report = MakeReport(generator.Run({}), options, {}, 4);
  EXPECT_NEAR(report.cpu_share, 0.5 / 4, 1e-9);
}

TEST(LoadGeneratorTest, each_product_is_called_once_and_alone_for_cold_figures) {
  FakeWorld world(After(absl::Milliseconds(30)));
  LoadOptions options;
  options.products = 3;
  const auto calls = CallEachProductOnce(options, world, world, {});
  ASSERT_THAT(calls, SizeIs(3));
  EXPECT_EQ(world.most_outstanding, 1u);
  for (size_t i = 0; i < calls.size(); ++i) {
    EXPECT_EQ(calls[i].product, i);
    EXPECT_EQ(calls[i].latency, absl::Milliseconds(30));
  }
}

TEST(RealPacerTest, wait_ends_at_once_when_woken_before) {
  RealPacer pacer;
  pacer.Wake();
  const absl::Duration before = pacer.Now();
  pacer.WaitUntil(before + absl::Hours(1));
  EXPECT_LT(pacer.Now() - before, absl::Minutes(1));
  pacer.WaitUntil(pacer.Now() + absl::Milliseconds(5));
  EXPECT_GE(pacer.Now() - before, absl::Milliseconds(5));
}

// Reports. ----------------------------------------------------------------------------------------

// Every fourth request is refused at once, the others take 20 ms in batches of two.
auto RefusingEveryFourth() {
  return [count = 0](absl::Duration now) mutable -> FakeWorld::Answer {
    if (++count % 4 == 0) {
      return {now + absl::Milliseconds(1),
              {.code = absl::StatusCode::kResourceExhausted, .reason = "QUEUE_FULL"}};
    }
    return {now + absl::Milliseconds(20),
            {.stages_ms = {1, 2, 3, 4, 5, 0, 0, 15}, .batch_size = 2}};
  };
}

TEST(ReportTest, failures_are_counted_by_code_and_reason_with_their_own_latencies) {
  FakeWorld world(RefusingEveryFourth());
  const Report report = Measure(Open(100, absl::Seconds(10)), world);
  EXPECT_EQ(report.sent, 999u);
  EXPECT_EQ(report.failed, 249u);
  EXPECT_EQ(report.ok, 750u);
  ASSERT_THAT(report.failures, SizeIs(1));
  EXPECT_EQ(report.failures[0].code, "RESOURCE_EXHAUSTED");
  EXPECT_EQ(report.failures[0].reason, "QUEUE_FULL");
  EXPECT_EQ(report.failures[0].latency_ms.count, 249u);
  EXPECT_NEAR(report.failures[0].latency_ms.p99, 1, 1e-6);
  EXPECT_NEAR(report.latency_ms.p50, 20, 1e-6);
  EXPECT_EQ(report.batch_sizes, (std::map<int, size_t>{{2, 750}}));
  ASSERT_THAT(report.stages, SizeIs(9));
  EXPECT_EQ(report.stages[3].name, "encode");
  EXPECT_EQ(report.stages[3].ms.p99, 4);
  EXPECT_EQ(report.stages[8].name, "outside");
  EXPECT_NEAR(report.stages[8].ms.mean, 5, 1e-6) << "20 ms seen here, 15 of them in the server";
}

TEST(ReportTest, warm_up_is_not_counted) {
  // Slow until the warm-up is over.
  FakeWorld world([](absl::Duration now) -> FakeWorld::Answer {
    return {now + absl::Milliseconds(now < absl::Seconds(1005) ? 500 : 10)};
  });
  LoadOptions options = Open(100, absl::Seconds(10));
  options.warmup = absl::Seconds(5);
  const Report report = Measure(options, world);
  EXPECT_EQ(report.sent, 1000u);
  EXPECT_EQ(report.measured_s, 10);
  EXPECT_NEAR(report.latency_ms.max, 10, 1e-6);
  EXPECT_NEAR(report.throughput, 100, 6) << "replies to the warm-up come in the window, too";
  EXPECT_THAT(report.seconds, SizeIs(10));
}

TEST(ReportTest, goodput_counts_what_was_in_time_of_the_intended_time) {
  FakeWorld world(After(absl::Milliseconds(1)));
  world.on_call = [&] {
    if (world.sent_at.size() == 50) world.Advance(absl::Milliseconds(300));
  };
  LoadOptions options = Open(100, absl::Seconds(1));
  options.deadline = absl::Milliseconds(100);
  const Report report = Measure(options, world);
  EXPECT_EQ(report.ok, 99u);
  // The one that was being sent, and those whose time passed meanwhile, 200 ms and more too late.
  EXPECT_NEAR(static_cast<double>(report.ok - report.ok_in_time), 20, 2);
  EXPECT_NEAR(report.throughput - report.goodput, 20, 2);
}

TEST(ReportTest, overload_is_told) {
  FakeWorld world(OneByOne(absl::Milliseconds(20), absl::ZeroDuration()));
  const Report report = Measure(Open(100, absl::Seconds(10)), world);
  EXPECT_NEAR(report.throughput, 50, 1);
  EXPECT_THAT(report.warnings, Contains(HasSubstr("does not keep up")));
  FakeWorld fast(After(absl::Milliseconds(20)));
  EXPECT_THAT(Measure(Open(100, absl::Seconds(10)), fast).warnings, IsEmpty());
}

TEST(ReportTest, probe_passes_when_p99_is_within_the_target_and_nearly_all_are_answered) {
  const auto judged = [](size_t ok, size_t failed, double p99_ms) {
    Report report;
    report.ok = ok;
    report.failed = failed;
    report.latency_ms = {.count = ok, .p99 = p99_ms};
    report.p99_target_ms = 100;
    return Judge(report).passed;
  };
  EXPECT_TRUE(judged(10'000, 9, 100));
  EXPECT_FALSE(judged(10'000, 11, 100)) << "0.1 % failed";
  EXPECT_FALSE(judged(500, 1, 50));
  EXPECT_FALSE(judged(10'000, 0, 100.1));
  EXPECT_FALSE(judged(0, 0, 0)) << "nothing answered is nothing borne";
}

TEST(ReportTest, json_parses_and_adds_up) {
  FakeWorld world(RefusingEveryFourth());
  LoadOptions options = Open(100, absl::Seconds(10));
  options.max_outstanding = 1;
  Report report = MakeReport(RunLoad(options, world), options, {.products = {"a\xff", "b"}}, 1, 25);
  report.cold = {{.product = 1, .latency = absl::Milliseconds(7)}};
  const auto json = nlohmann::json::parse(ToJson(report));
  const auto number = [&](const char* name) { return json[name].get<double>(); };
  EXPECT_GT(number("not_sent"), 0);
  EXPECT_EQ(number("intended"), number("sent") + number("not_sent"));
  EXPECT_EQ(number("sent"), number("ok") + number("failed") + number("interrupted"));
  EXPECT_EQ(number("failed"), json["failures"][0]["count"]);
  EXPECT_EQ(number("ok"), json["batch_sizes"]["2"]);
  EXPECT_EQ(number("offered_per_s"), number("intended") / 10);
  EXPECT_FALSE(json["valid"]);
  EXPECT_TRUE(json["p99_within_target"]);
  EXPECT_EQ(json["load"]["mode"], "open");
  EXPECT_EQ(json["cold"][0]["product"], "b");
  double by_second = 0;
  for (const auto& second : json["seconds"]) by_second += second["ok"].get<double>();
  EXPECT_NEAR(by_second / 10, number("throughput_per_s"), 1e-9);
}

TEST(ReportTest, json_has_null_where_nothing_was_measured) {
  FakeWorld world([](absl::Duration now) -> FakeWorld::Answer {
    return {now, {.code = absl::StatusCode::kUnavailable}};
  });
  const Report report = Measure(Open(100, absl::Seconds(1)), world);
  const auto json = nlohmann::json::parse(ToJson(report));
  EXPECT_TRUE(json["latency_ms"].is_null());
  EXPECT_EQ(json["invalid"][0], "no request was answered OK");
  EXPECT_EQ(json["failures"][0]["code"], "UNAVAILABLE");
  EXPECT_THAT(ToHtml(report), HasSubstr("no request was answered OK"));
}

TEST(ReportTest, page_needs_nothing_else_and_escapes_what_others_wrote) {
  FakeWorld world(RefusingEveryFourth());
  const LoadOptions options = Open(100, absl::Seconds(10));
  const Report report =
      MakeReport(RunLoad(options, world), options,
                 {.server = "<script>alert(1)</script>", .products = {"\"a' & <b>"}}, 1);
  const std::string page = ToHtml(report);
  for (const char* word :
       {"http:", "https:", "src=", "href=", "url(", "@import", "<script", "<b>"}) {
    EXPECT_THAT(page, Not(HasSubstr(word)));
  }
  EXPECT_THAT(page, HasSubstr("&quot;a&#39; &amp; &lt;b&gt;"));
  for (const char* title :
       {"Latency of OK replies", "Latency over time", "Replies by second", "Where the time goes"}) {
    EXPECT_THAT(page, HasSubstr(title));
  }
  EXPECT_THAT(page, Not(HasSubstr("nan")));
  EXPECT_THAT(page, Not(HasSubstr("inf")));
}

TEST(AxisTest, ticks_are_round_and_cover_the_values) {
  for (const double high : {0.003, 0.7, 1.0, 17.0, 99.0, 12345.0}) {
    const Axis axis = LinearAxis(0, high, "");
    EXPECT_GE(axis.high, high);
    EXPECT_LT(axis.high, 1.5 * high);
    EXPECT_GE(axis.ticks.size(), 4u);
    EXPECT_LE(axis.ticks.size(), 9u);
  }
  const Axis log = LogAxis(0.2, 300, "");
  EXPECT_NEAR(log.low, 0.1, 1e-9);
  EXPECT_NEAR(log.high, 1000, 1e-6);
  EXPECT_THAT(log.ticks, SizeIs(5));
  EXPECT_NEAR(log.Place(10), 0.5, 1e-9);
  EXPECT_EQ(log.Place(0), 0);
}

// The search. -------------------------------------------------------------------------------------

TEST(RateSearchTest, largest_rate_that_passes_is_found_from_below_and_above) {
  for (const double first : {1.0, 37.0, 1000.0}) {
    for (const double limit : {3.3, 37.0, 421.0}) {
      RateSearch search(first, 0.1, 0.05);
      int tries = 0;
      while (const auto rate = search.Next()) {
        search.Report(*rate <= limit);
        ASSERT_LT(++tries, 30);
      }
      ASSERT_TRUE(search.best().has_value());
      EXPECT_LE(*search.best(), limit);
      EXPECT_GT(*search.best() * 1.05, limit);
    }
  }
}

TEST(RateSearchTest, search_ends_when_no_rate_passes) {
  RateSearch search(8, 0.5, 0.05);
  int tries = 0;
  while (search.Next().has_value()) {
    search.Report(false);
    ASSERT_LT(++tries, 10);
  }
  EXPECT_EQ(tries, 5);
  EXPECT_FALSE(search.best().has_value());
}

}  // namespace
}  // namespace hfwa::bench
