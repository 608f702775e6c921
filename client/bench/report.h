#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/bench/load_generator.h"
#include "client/bench/recording.h"
#include "client/bench/summary.h"

namespace hfwa::bench {

// What was loaded, for whoever reads the report later.
struct Subject {
  std::string server{};
  std::string model{};  // Name, digest, device and precision, as the server gives them.
  std::string model_digest{};
  std::string device{};
  std::string precision{};
  std::string client_version{};
  std::vector<std::string> products{};
  size_t pictures = 0;
  size_t picture_bytes = 0;  // All together.
  std::string heatmap{};
  size_t connections = 1;
  absl::Time started{};
};

// One run of a search for the largest rate.
struct Probe {
  double rate = 0;
  size_t ok = 0;
  size_t failed = 0;  // Not sent ones too.
  double p99_ms = 0;
  bool passed = false;
};

// What one run found. Its requests are those whose intended time lies in the window; throughput and
// the seconds count the replies that came in the window, whenever they were asked for.
struct Report {
  struct Failure {
    std::string code;
    std::string reason;
    Summary latency_ms;  // From the intended time.
    Summary service_ms;  // From the actual sending.
  };
  struct Stage {
    std::string name;
    Summary ms;
  };
  struct Second {
    size_t ok = 0;
    size_t failed = 0;
  };
  struct Point {
    double at = 0;  // Intended time, in seconds since the window's begin.
    double latency_ms = 0;
    bool ok = false;
  };

  Subject subject;
  LoadOptions load;
  double measured_s = 0;

  size_t sent = 0;  // ok + failed + interrupted
  size_t ok = 0;
  size_t failed = 0;
  size_t interrupted = 0;
  size_t not_sent = 0;
  size_t ok_in_time = 0;
  double throughput = 0;  // OK replies a second.
  double goodput = 0;     // Those of them that were in time.
  Summary latency_ms;     // Of OK replies, from the intended time.
  Summary service_ms;     // The same from the actual sending.
  std::vector<Failure> failures;
  std::vector<Stage> stages;  // The server's, and what happened outside it.
  std::map<int, size_t> batch_sizes;
  std::vector<ColdCall> cold;

  // The generator itself.
  Summary lag_ms;  // Of an open loop: actual minus intended sending time.
  double cpu_share = 0;
  int cores = 0;
  size_t most_outstanding = 0;

  std::optional<double> p99_target_ms;
  std::vector<Probe> probes;  // Of a search; the report is then that of the best rate.
  std::optional<double> best_rate;

  std::vector<std::string> invalid;   // Why the figures may not be used; empty if they may.
  std::vector<std::string> warnings;  // What to know when using them.

  // For plots.
  std::vector<Second> seconds;
  std::vector<Point> points;
  std::vector<double> sorted_latency_ms;
  std::vector<double> sorted_service_ms;

  size_t intended() const { return sent + not_sent; }
  double offered() const;  // Intended requests a second.
  // p99 is within the target, and there are OK replies at all.
  bool WithinTarget() const;
};

// `cores` of this machine may be used by this process.
Report MakeReport(const Recording& recording, const LoadOptions& load, Subject subject, int cores,
                  std::optional<double> p99_target_ms = std::nullopt);

// Whether a rate is one the server bears: p99 within the target, fewer than 0.1 % not answered OK.
Probe Judge(const Report& report);

}  // namespace hfwa::bench
