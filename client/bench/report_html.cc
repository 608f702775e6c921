#include "client/bench/report_html.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/chart.h"

namespace hfwa::bench {
namespace {

constexpr char kStyle[] =
    "body{font:14px sans-serif;max-width:800px;margin:2em auto;color-scheme:light dark}\n"
    "svg{width:100%;margin:1em 0}\n"
    "td,th{padding:.1em 1em .1em 0;text-align:left}\n.invalid{color:#c0392b;font-weight:bold}\n";

double Largest(const std::vector<double>& sorted) { return sorted.empty() ? 1 : sorted.back(); }

// Percentiles on a scale that gives each nine the same room.
std::string PercentileChart(const Report& report) {
  const auto count = static_cast<double>(report.sorted_latency_ms.size());
  Axis x{.low = 1, .high = std::max(100.0, count), .log = true, .label = "percentile"};
  x.ticks = {{1, "0"}, {2, "50"}, {10, "90"}, {100, "99"}};
  for (int nines = 3; std::pow(10, nines) <= x.high; ++nines) {
    x.ticks.emplace_back(std::pow(10, nines),
                         absl::StrFormat("%.9g", 100 - 100 / std::pow(10, nines)));
  }
  Chart chart("Latency of OK replies", x,
              LinearAxis(0, Largest(report.sorted_latency_ms), "milliseconds"));
  const auto line = [&](const std::vector<double>& sorted, const char* css_class) {
    if (sorted.empty()) return;
    std::vector<std::pair<double, double>> points;
    constexpr int kSteps = 300;
    for (int i = 0; i <= kSteps; ++i) {
      const double inverse = std::pow(x.high, static_cast<double>(i) / kSteps);
      points.emplace_back(inverse, Percentile(sorted, 100 - 100 / inverse));
    }
    chart.Line(points, css_class);
  };
  line(report.sorted_latency_ms, "a");
  chart.Legend("a", "from the intended time");
  if (report.load.open()) {
    line(report.sorted_service_ms, "b");
    chart.Legend("b", "from the actual sending");
  }
  return chart.Svg();
}

// Each cell of the grid is as dark as it holds requests; nothing is left out.
std::string TimeChart(const Report& report) {
  constexpr int kColumns = 120;
  constexpr int kRows = 50;
  double low = report.points.empty() ? 1 : report.points.front().latency_ms;
  double high = low;
  for (const auto& point : report.points) {
    low = std::min(low, point.latency_ms);
    high = std::max(high, point.latency_ms);
  }
  const Axis x = LinearAxis(0, report.measured_s, "seconds since the warm-up");
  const Axis y = LogAxis(low, high, "milliseconds");
  struct Cell {
    size_t ok = 0;
    size_t failed = 0;
  };
  std::map<std::pair<int, int>, Cell> cells;
  size_t most = 1;
  for (const auto& point : report.points) {
    const int column = std::min(static_cast<int>(x.Place(point.at) * kColumns), kColumns - 1);
    const int row = std::min(static_cast<int>(y.Place(point.latency_ms) * kRows), kRows - 1);
    Cell& cell = cells[{column, row}];
    ++(point.ok ? cell.ok : cell.failed);
    most = std::max(most, cell.ok + cell.failed);
  }
  Chart chart("Latency over time", x, y);
  for (const auto& [place, cell] : cells) {
    const auto x_at = [&](int column) { return x.low + (x.high - x.low) * column / kColumns; };
    const auto y_at = [&](int row) { return y.low * std::pow(y.high / y.low, row * 1.0 / kRows); };
    const auto count = static_cast<double>(cell.ok + cell.failed);
    const double opacity = 0.25 + 0.75 * std::log1p(count) / std::log1p(static_cast<double>(most));
    chart.Rect(x_at(place.first), y_at(place.second), x_at(place.first + 1), y_at(place.second + 1),
               cell.failed > 0 ? "bad" : "a", opacity,
               absl::StrCat(cell.ok, " OK, ", cell.failed, " failed"));
  }
  chart.Legend("a", "OK");
  chart.Legend("bad", "some failed");
  return chart.Svg();
}

std::string SecondsChart(const Report& report) {
  size_t most = 1;
  for (const auto& second : report.seconds) most = std::max(most, second.ok + second.failed);
  Chart chart("Replies by second", LinearAxis(0, report.measured_s, "seconds since the warm-up"),
              LinearAxis(0, static_cast<double>(most), "replies"));
  for (size_t i = 0; i < report.seconds.size(); ++i) {
    const auto ok = static_cast<double>(report.seconds[i].ok);
    const auto failed = static_cast<double>(report.seconds[i].failed);
    const auto at = static_cast<double>(i);
    const double end = std::min(at + 0.9, report.measured_s);
    if (ok > 0) chart.Rect(at, 0, end, ok, "a");
    if (failed > 0) chart.Rect(at, ok, end, ok + failed, "bad");
  }
  chart.Legend("a", "OK");
  chart.Legend("bad", "failed");
  return chart.Svg();
}

std::string StagesChart(const Report& report) {
  double longest = 0;
  for (const auto& stage : report.stages) longest = std::max(longest, stage.ms.p99);
  const auto count = static_cast<double>(report.stages.size());
  Axis y{.low = 0, .high = std::max(1.0, count)};
  for (size_t i = 0; i < report.stages.size(); ++i) {
    y.ticks.emplace_back(count - static_cast<double>(i) - 0.5, report.stages[i].name);
  }
  Chart chart("Where the time goes", LinearAxis(0, longest, "milliseconds"), y);
  for (size_t i = 0; i < report.stages.size(); ++i) {
    const double middle = count - static_cast<double>(i) - 0.5;
    const Summary& ms = report.stages[i].ms;
    const std::string note = absl::StrFormat("mean %.3f ms, p99 %.3f ms", ms.mean, ms.p99);
    chart.Rect(0, middle - 0.35, ms.p99, middle + 0.35, "b", 0.5, note);
    chart.Rect(0, middle - 0.2, ms.mean, middle + 0.2, "a", 1, note);
  }
  chart.Legend("a", "mean");
  chart.Legend("b", "p99");
  return chart.Svg();
}

std::string Row(const std::string& name, const std::string& value) {
  return absl::StrCat("<tr><th>", EscapeHtml(name), "</th><td>", EscapeHtml(value), "</td></tr>\n");
}

std::string Figures(const Report& report) {
  const Subject& subject = report.subject;
  std::string html = "<table>\n";
  absl::StrAppend(
      &html, Row("server", subject.server), Row("model", subject.model),
      Row("model digest", subject.model_digest),
      Row("device, precision", absl::StrCat(subject.device, ", ", subject.precision)),
      Row("started", absl::FormatTime(absl::RFC3339_sec, subject.started, absl::UTCTimeZone())),
      Row("products", absl::StrJoin(subject.products, ", ")),
      Row("pictures", absl::StrCat(subject.pictures, ", ", subject.picture_bytes, " bytes")),
      Row("load", Describe(report.load)),
      Row("requests",
          absl::StrCat(report.sent, " sent, ", report.ok, " OK, ", report.failed, " failed, ",
                       report.interrupted, " interrupted, ", report.not_sent, " not sent")),
      Row("OK replies",
          absl::StrFormat("%.2f/s; %.2f/s in time", report.throughput, report.goodput)),
      Row("latency",
          absl::StrFormat("p50 %.1f, p90 %.1f, p99 %.1f, p99.9 %.1f, max %.1f ms",
                          report.latency_ms.p50, report.latency_ms.p90, report.latency_ms.p99,
                          report.latency_ms.p99_9, report.latency_ms.max)));
  for (const auto& failure : report.failures) {
    absl::StrAppend(&html,
                    Row(absl::StrCat(failure.code, " ", failure.reason),
                        absl::StrFormat("%d; p50 %.1f, p99 %.1f ms", failure.latency_ms.count,
                                        failure.latency_ms.p50, failure.latency_ms.p99)));
  }
  html += "</table>\n";
  for (const std::string& text : report.invalid) {
    absl::StrAppend(&html, "<p class=\"invalid\">Not valid: ", EscapeHtml(text), "</p>\n");
  }
  for (const std::string& text : report.warnings) {
    absl::StrAppend(&html, "<p>Note: ", EscapeHtml(text), "</p>\n");
  }
  return html;
}

}  // namespace

std::string ToHtml(const Report& report) {
  return absl::StrCat(
      "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>hfwa bench</title>\n"
      "<style>\n",
      kStyle, kChartStyle, "</style>\n<h1>hfwa bench</h1>\n", Figures(report),
      PercentileChart(report), TimeChart(report), SecondsChart(report), StagesChart(report),
      "</html>\n");
}

}  // namespace hfwa::bench
