#include "client/cli/bench_table.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/text.h"

namespace hfwa::cli {
namespace {

using Row = std::vector<std::string>;

std::string Ms(double value) { return absl::StrFormat("%.2f", value); }

Row LatencyRow(const std::string& name, const bench::Summary& summary) {
  Row row{name, absl::StrCat(summary.count)};
  for (const double value : {summary.mean, summary.p50, summary.p90, summary.p95, summary.p99,
                             summary.p99_9, summary.max}) {
    row.push_back(summary.count > 0 ? Ms(value) : "-");
  }
  return row;
}

std::string Counts(const bench::Report& report) {
  return FormatTable(
      {{"load", Describe(report.load)},
       {"offered", absl::StrFormat("%.2f/s: %d requests in %.1f s", report.offered(),
                                   report.intended(), report.measured_s)},
       {"sent", absl::StrCat(report.sent, "; ", report.not_sent, " not sent")},
       {"ok", absl::StrCat(report.ok, "; ", report.ok_in_time, " within the deadline of ",
                           absl::FormatDuration(report.load.deadline))},
       {"failed", absl::StrCat(report.failed, "; ", report.interrupted, " interrupted")},
       {"throughput", absl::StrFormat("%.2f OK replies/s", report.throughput)},
       {"goodput", absl::StrFormat("%.2f OK replies/s within the deadline", report.goodput)}});
}

std::string Latencies(const bench::Report& report) {
  std::vector<Row> rows{
      {"LATENCY, MS", "COUNT", "MEAN", "P50", "P90", "P95", "P99", "P99.9", "MAX"}};
  if (report.load.open()) {
    rows.push_back(LatencyRow("OK, from the intended time", report.latency_ms));
    rows.push_back(LatencyRow("OK, from the sending", report.service_ms));
  } else {
    rows.push_back(LatencyRow("OK", report.latency_ms));
  }
  for (const auto& failure : report.failures) {
    const std::string name =
        failure.reason.empty() ? failure.code : absl::StrCat(failure.code, " ", failure.reason);
    rows.push_back(LatencyRow(name, failure.latency_ms));
  }
  return FormatTable(rows);
}

std::string Stages(const bench::Report& report) {
  std::vector<Row> rows{{"STAGE, MS", "MEAN", "P99"}};
  for (const auto& stage : report.stages) {
    rows.push_back({stage.name, Ms(stage.ms.mean), Ms(stage.ms.p99)});
  }
  std::vector<std::string> batches;
  for (const auto& [size, count] : report.batch_sizes) {
    batches.push_back(absl::StrFormat(
        "%d: %.1f %%", size, 100.0 * static_cast<double>(count) / static_cast<double>(report.ok)));
  }
  return absl::StrCat(FormatTable(rows),
                      "\nimages by size of their batch: ", absl::StrJoin(batches, ", "), "\n");
}

std::string ColdCalls(const bench::Report& report) {
  std::vector<Row> rows{{"FIRST REQUEST", "RESULT", "MS", "OF WHICH SERVER"}};
  for (const auto& call : report.cold) {
    rows.push_back(
        {report.subject.products[call.product], absl::StatusCodeToString(call.outcome.code),
         Ms(absl::ToDoubleMilliseconds(call.latency)), Ms(call.outcome.stages_ms.back())});
  }
  return FormatTable(rows);
}

std::string Generator(const bench::Report& report) {
  std::string text = absl::StrFormat("generator: %.1f %% of %d cores, at most %d outstanding",
                                     100 * report.cpu_share, report.cores, report.most_outstanding);
  if (report.load.open()) {
    absl::StrAppendFormat(&text, ", sent late by p99 %.3f ms, at most %.3f ms", report.lag_ms.p99,
                          report.lag_ms.max);
  }
  return text + "\n";
}

std::string Verdicts(const bench::Report& report) {
  std::string text;
  if (report.p99_target_ms.has_value()) {
    absl::StrAppendFormat(&text, "p99 is %s the target of %.6g ms\n",
                          report.WithinTarget() ? "within" : "NOT within", *report.p99_target_ms);
  }
  if (report.best_rate.has_value()) {
    absl::StrAppendFormat(&text, "largest rate within the target: %.4g/s\n", *report.best_rate);
  } else if (!report.probes.empty()) {
    text += "no rate that was tried is within the target\n";
  }
  for (const auto& warning : report.warnings) absl::StrAppend(&text, "note: ", warning, "\n");
  for (const auto& reason : report.invalid) absl::StrAppend(&text, "NOT VALID: ", reason, "\n");
  return text;
}

}  // namespace

std::string BenchTable(const bench::Report& report) {
  std::string text = absl::StrCat(Counts(report), "\n", Latencies(report), "\n");
  if (report.ok > 0) absl::StrAppend(&text, Stages(report), "\n");
  if (!report.cold.empty()) absl::StrAppend(&text, ColdCalls(report), "\n");
  return absl::StrCat(text, Generator(report), Verdicts(report));
}

std::string ProbeLine(const bench::Probe& probe) {
  const std::string p99 = probe.ok > 0 ? absl::StrFormat("%.1f ms", probe.p99_ms) : "-";
  return absl::StrFormat("%9.4g/s  p99 %s  %d failed  %s\n", probe.rate, PadRight(p99, 12),
                         probe.failed, probe.passed ? "passed" : "did not pass");
}

}  // namespace hfwa::cli
