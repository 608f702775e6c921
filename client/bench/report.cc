#include "client/bench/report.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace hfwa::bench {
namespace {

constexpr double kLagWarningMs = 1;
constexpr double kCpuWarning = 0.25;
constexpr size_t kRepliesForP99 = 100;
// Calls that hfwa-server takes on one connection; gRPC keeps the others back on this side.
constexpr size_t kCallsPerConnection = 64;
constexpr double kFailedShare = 0.001;

constexpr double Milliseconds(double seconds) { return seconds * 1e3; }

// Fills what comes from the requests of the window.
void AddRequests(const Recording& recording, Report& report) {
  const double deadline = absl::ToDoubleSeconds(report.load.deadline);
  struct Times {
    std::vector<double> latency_ms;
    std::vector<double> service_ms;
  };
  std::map<std::pair<absl::StatusCode, uint32_t>, Times> failures;
  std::array<std::vector<double>, kStages.size()> stages;
  std::vector<double> outside;
  std::vector<double> lags;
  for (const Sample& sample : recording.samples) {
    if (!recording.InWindow(sample.intended)) continue;
    const double latency_ms = Milliseconds(sample.latency());
    report.points.push_back({sample.intended - recording.window_begin, latency_ms, sample.ok()});
    if (report.load.open()) lags.push_back(Milliseconds(sample.sent - sample.intended));
    if (!sample.ok()) {
      ++report.failed;
      Times& times = failures[{sample.code, sample.reason}];
      times.latency_ms.push_back(latency_ms);
      times.service_ms.push_back(Milliseconds(sample.service()));
      continue;
    }
    ++report.ok;
    report.ok_in_time += sample.latency() <= deadline;
    report.sorted_latency_ms.push_back(latency_ms);
    report.sorted_service_ms.push_back(Milliseconds(sample.service()));
    ++report.batch_sizes[sample.batch_size];
    for (size_t i = 0; i < stages.size(); ++i) stages[i].push_back(sample.stages_ms[i]);
    outside.push_back(Milliseconds(sample.service()) - sample.stages_ms.back());
  }
  report.latency_ms = Summarize(report.sorted_latency_ms);
  report.service_ms = Summarize(report.sorted_service_ms);
  report.lag_ms = Summarize(lags);
  for (auto& [key, times] : failures) {
    report.failures.push_back({absl::StatusCodeToString(key.first), recording.reasons[key.second],
                               Summarize(times.latency_ms), Summarize(times.service_ms)});
  }
  if (report.ok == 0) return;
  for (size_t i = 0; i < stages.size(); ++i) {
    report.stages.push_back({kStages[i], Summarize(stages[i])});
  }
  report.stages.push_back({"outside", Summarize(outside)});
}

// Fills what comes from the replies that came in the window.
void AddReplies(const Recording& recording, Report& report) {
  if (report.measured_s <= 0) return;
  const double deadline = absl::ToDoubleSeconds(report.load.deadline);
  report.seconds.resize(static_cast<size_t>(std::ceil(report.measured_s)));
  size_t ok = 0;
  size_t in_time = 0;
  for (const Sample& sample : recording.samples) {
    if (!recording.InWindow(sample.done)) continue;
    const auto second = static_cast<size_t>(sample.done - recording.window_begin);
    Report::Second& count = report.seconds[std::min(second, report.seconds.size() - 1)];
    ++(sample.ok() ? count.ok : count.failed);
    ok += sample.ok();
    in_time += sample.ok() && sample.latency() <= deadline;
  }
  report.throughput = static_cast<double>(ok) / report.measured_s;
  report.goodput = static_cast<double>(in_time) / report.measured_s;
}

// By how many more requests were outstanding at the window's end than at its begin.
double Backlog(const Recording& recording) {
  auto growth = static_cast<double>(recording.given_up.size());
  for (const Sample& sample : recording.samples) {
    const auto outstanding_at = [&](double time) {
      return sample.sent < time && sample.done >= time;
    };
    growth += outstanding_at(recording.window_end);
    growth -= outstanding_at(recording.window_begin);
  }
  return growth;
}

void AddInvalidities(Report& report) {
  if (report.measured_s <= 0) report.invalid.push_back("ended before the warm-up was over");
  if (report.not_sent > 0) {
    report.invalid.push_back(absl::StrCat(
        report.not_sent, " of ", report.intended(), " requests were not sent because ",
        report.load.max_outstanding,
        " were outstanding (--max-outstanding): the server saw less load than was asked for"));
  }
  if (report.ok == 0) report.invalid.push_back("no request was answered OK");
}

void AddWarnings(const Recording& recording, Report& report) {
  auto& warnings = report.warnings;
  if (recording.interrupted) {
    warnings.push_back(absl::StrCat("interrupted; ", report.interrupted,
                                    " requests were outstanding and given up"));
  }
  if (report.lag_ms.p99 > kLagWarningMs) {
    warnings.push_back(absl::StrFormat(
        "requests were sent late (p99 %.1f ms, at most %.1f ms): this machine did not keep the "
        "schedule, and latencies from the intended time contain it",
        report.lag_ms.p99, report.lag_ms.max));
  }
  if (report.cpu_share > kCpuWarning) {
    warnings.push_back(absl::StrFormat(
        "this client used %.0f %% of this machine's %d cores: it may be what was measured, and "
        "slows a server that runs here",
        report.cpu_share * 100, report.cores));
  }
  if (report.most_outstanding > kCallsPerConnection * report.subject.connections) {
    warnings.push_back(absl::StrCat(
        "up to ", report.most_outstanding, " requests were outstanding; a server takes ",
        kCallsPerConnection, " a connection and the others waited here: give more --connections"));
  }
  if (report.ok > 0 && report.ok < kRepliesForP99) {
    warnings.push_back(absl::StrCat("only ", report.ok,
                                    " OK replies: p99 is the largest of them; give a longer "
                                    "--duration"));
  }
  const double backlog = report.load.open() ? Backlog(recording) : 0;
  if (backlog > std::max(10.0, 0.05 * static_cast<double>(report.sent))) {
    warnings.push_back(absl::StrFormat(
        "%.0f more requests were outstanding at the end than at the beginning: the server does not "
        "keep up, and latencies depend on --duration",
        backlog));
  }
}

}  // namespace

double Report::offered() const {
  return measured_s > 0 ? static_cast<double>(intended()) / measured_s : 0;
}

bool Report::WithinTarget() const {
  return p99_target_ms.has_value() && ok > 0 && latency_ms.p99 <= *p99_target_ms;
}

Report MakeReport(const Recording& recording, const LoadOptions& load, Subject subject, int cores,
                  std::optional<double> p99_target_ms) {
  Report report;
  report.subject = std::move(subject);
  report.load = load;
  report.p99_target_ms = p99_target_ms;
  report.measured_s = recording.window_end - recording.window_begin;
  const auto in_window = [&](double time) { return recording.InWindow(time); };
  const auto count = [&](const std::vector<double>& times) {
    return static_cast<size_t>(std::count_if(times.begin(), times.end(), in_window));
  };
  AddRequests(recording, report);
  AddReplies(recording, report);
  report.interrupted = count(recording.given_up);
  report.not_sent = count(recording.not_sent);
  report.sent = report.ok + report.failed + report.interrupted;
  report.most_outstanding = recording.most_outstanding;
  report.cores = cores;
  if (report.measured_s > 0) {
    report.cpu_share = recording.cpu_seconds / (report.measured_s * cores);
  }
  AddInvalidities(report);
  AddWarnings(recording, report);
  return report;
}

Probe Judge(const Report& report) {
  const size_t failed = report.failed + report.not_sent;
  return {.rate = report.load.rate,
          .ok = report.ok,
          .failed = failed,
          .p99_ms = report.latency_ms.p99,
          .passed =
              report.WithinTarget() &&
              static_cast<double>(failed) < kFailedShare * static_cast<double>(report.ok + failed)};
}

}  // namespace hfwa::bench
