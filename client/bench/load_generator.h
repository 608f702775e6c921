#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/bench/pacer.h"
#include "client/bench/recording.h"
#include "client/bench/schedule.h"

namespace hfwa::bench {

// Sends one request, without waiting and without retries.
class Caller {
 public:
  using Done = std::function<void(Outcome outcome)>;
  virtual ~Caller() = default;
  // `done` is called exactly once, from any thread, perhaps before Call returns.
  virtual void Call(const Pick& pick, Done done) = 0;
  // Ends soon all outstanding calls and those to come, with CANCELLED. Any thread.
  virtual void CancelAll() = 0;
};

// Exactly one of `rate` and `concurrency` is more than 0.
struct LoadOptions {
  // Open loop: requests a second, sent at their times whatever becomes of the others.
  double rate = 0;
  ArrivalKind arrivals = ArrivalKind::kPoisson;
  size_t max_outstanding = 10'000;  // What would be one more is not sent.
  // Closed loop: as many outstanding at all times, the next sent when one is answered.
  size_t concurrency = 0;

  absl::Duration duration = absl::Seconds(30);
  absl::Duration warmup = absl::Seconds(5);     // Before `duration`; not measured.
  absl::Duration deadline = absl::Seconds(30);  // What counts as in time; the caller keeps it.
  uint64_t seed = 1;
  size_t products = 1;
  size_t pictures = 1;

  bool open() const { return rate > 0; }
};

// For people: "open loop, 20/s, poisson; 30s after 5s of warm-up, seed 1".
std::string Describe(const LoadOptions& options);

struct Progress {
  absl::Duration elapsed;  // Warm-up and all.
  size_t sent = 0;
  size_t ok = 0;
  size_t failed = 0;
  size_t not_sent = 0;
};

// Loads a server in the way of one LoadOptions, once.
class LoadGenerator {
 public:
  // `pacer` and `caller` outlive the run. `cpu_seconds` tells what this process has used so far.
  LoadGenerator(LoadOptions options, Pacer& pacer, Caller& caller,
                std::function<double()> cpu_seconds);
  ~LoadGenerator();

  // Sends as planned or until `interrupt`, waits for the last answer (interrupted: cancels the
  // outstanding ones) and returns what happened. Once.
  Recording Run(const std::stop_token& interrupt);
  // So far. Any thread.
  Progress progress() const;

 private:
  struct State;

  void SendAll(const std::stop_token& interrupt);
  absl::Duration NextSend(absl::Duration now) const;
  void Send(absl::Duration intended);
  void Drain(const std::stop_token& interrupt);

  const LoadOptions options_;
  Pacer& pacer_;
  Caller& caller_;
  const std::function<double()> cpu_seconds_;
  Arrivals arrivals_;
  Mix mix_;
  absl::Duration begin_;         // Of the run, in the pacer's time.
  absl::Duration next_arrival_;  // Since `begin_`.
  // The calls hold it too: the last of them may end a little after Run.
  std::shared_ptr<State> state_;
};

// What a product's first request costs.
struct ColdCall {
  size_t product = 0;
  absl::Duration latency{};
  Outcome outcome{};
};

// One request a product, each sent when the one before is answered. Ends early when interrupted.
std::vector<ColdCall> CallEachProductOnce(const LoadOptions& options, Pacer& pacer, Caller& caller,
                                          const std::stop_token& interrupt);

}  // namespace hfwa::bench
