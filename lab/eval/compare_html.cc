#include "lab/eval/compare_html.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/chart.h"
#include "lab/eval/compare_tables.h"
#include "lab/eval/report_html.h"

namespace hfwa::lab {
namespace {

// Lines of entries, one colour each; they repeat when there are more.
constexpr std::array<const char*, 12> kColours = {"#2a6fbb", "#e08a1e", "#3a9d5d", "#c0392b",
                                                  "#8e5bb5", "#8c6d46", "#d65fa0", "#7f8c8d",
                                                  "#b5b52a", "#1fa7b5", "#34495e", "#f1948a"};

std::string Style() {
  std::string style =
      "body{font:14px sans-serif;max-width:1300px;margin:2em auto;color-scheme:light dark}\n"
      "svg{width:620px}\n.charts{display:flex;flex-wrap:wrap;gap:1em}\n"
      "td,th{padding:.1em 1em .1em "
      "0;text-align:right}\ntd:first-child,th:first-child{text-align:left}\n"
      ".scroll{overflow-x:auto}\n";
  for (size_t i = 0; i < kColours.size(); ++i) {
    absl::StrAppend(&style, "svg .e", i, "{fill:", kColours[i], "}\nsvg .line.e", i,
                    "{fill:none;stroke:", kColours[i], "}\n.key.e", i, "{color:", kColours[i],
                    "}\n");
  }
  return style;
}

std::string ClassOf(size_t entry) { return absl::StrCat("e", entry % kColours.size()); }

constexpr Chart::Size kSize = {.width = 620, .height = 360};

// The mean over the sets, or the only one.
std::optional<size_t> Whole(const Comparison& comparison) {
  return comparison.data.size() == 1 ? std::optional<size_t>(0) : std::nullopt;
}

// An entry a line over the numbers of references, evenly spaced.
std::string ByShots(const Comparison& comparison, std::optional<size_t> data, Column column,
                    const std::string& title) {
  Axis x{.low = 0,
         .high = std::max(1.0, static_cast<double>(comparison.shots.size() - 1)),
         .label = "references"};
  std::vector<std::pair<size_t, std::vector<std::pair<double, double>>>> lines;
  double low = 100;
  for (size_t e = 0; e < comparison.entries.size(); ++e) {
    std::vector<std::pair<double, double>> points;
    for (size_t s = 0; s < comparison.shots.size(); ++s) {
      const Compared* row = Find(comparison, data, e, comparison.shots[s]);
      if (row == nullptr) continue;
      const std::optional<Spread>& value = row->values[static_cast<size_t>(column)];
      if (!value.has_value() || !value->undefined.empty()) continue;
      points.emplace_back(static_cast<double>(s), 100 * value->mean);
      low = std::min(low, 100 * value->mean);
    }
    if (!points.empty()) lines.emplace_back(e, std::move(points));
  }
  if (lines.empty()) return "";
  for (size_t s = 0; s < comparison.shots.size(); ++s) {
    x.ticks.emplace_back(static_cast<double>(s), absl::StrCat(comparison.shots[s]));
  }
  Chart chart(title, std::move(x), LinearAxis(10 * static_cast<int>(low / 10), 100, "percent"),
              kSize);
  for (const auto& [entry, points] : lines) {
    chart.Line(points, ClassOf(entry));
    for (const auto& [at, value] : points) {
      chart.Rect(at - 0.02, value - 0.4, at + 0.02, value + 0.4, ClassOf(entry), 1,
                 absl::StrFormat("%s: %.1f", comparison.entries[entry].label, value));
    }
  }
  return chart.Svg();
}

// As much of a label as fits beside an axis.
std::string Short(const std::string& label) {
  constexpr size_t kFits = 13;
  if (label.size() <= kFits) return label;
  size_t end = kFits - 2;
  // Not within a character of several bytes.
  while (end > 0 && (static_cast<unsigned char>(label[end]) & 0xC0U) == 0x80U) --end;
  return label.substr(0, end) + "..";
}

std::string Times(const Comparison& comparison) {
  const int most = *std::max_element(comparison.shots.begin(), comparison.shots.end());
  std::vector<const Compared*> rows;
  double longest = 0;
  for (size_t e = 0; e < comparison.entries.size(); ++e) {
    const Compared* row = Find(comparison, Whole(comparison), e, most);
    if (row == nullptr) continue;
    rows.push_back(row);
    longest = std::max(longest, 1e3 * row->image_seconds);
  }
  if (rows.empty()) return "";
  // Bars lie, so that names have room; the first is on top.
  const auto count = static_cast<double>(rows.size());
  Axis y{.low = 0, .high = count, .label = ""};
  for (size_t i = 0; i < rows.size(); ++i) {
    y.ticks.emplace_back(count - static_cast<double>(i) - 0.5,
                         Short(comparison.entries[rows[i]->entry].label));
  }
  Chart chart(absl::StrCat("Time an image takes, ", most, " references"),
              LinearAxis(0, longest, "ms"), std::move(y), kSize);
  for (size_t i = 0; i < rows.size(); ++i) {
    const double top = count - static_cast<double>(i);
    chart.Rect(0, top - 0.9, 1e3 * rows[i]->image_seconds, top - 0.1, ClassOf(rows[i]->entry), 1,
               absl::StrFormat("%s: %.1f ms", comparison.entries[rows[i]->entry].label,
                               1e3 * rows[i]->image_seconds));
  }
  return chart.Svg();
}

}  // namespace

std::string ToHtml(const Comparison& comparison) {
  std::string html = absl::StrCat(
      "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>hfwa-eval "
      "compare</title>\n<style>\n",
      kChartStyle, Style(), "</style>\n<h1>hfwa-eval compare</h1>\n<p>Percent, mean \u00b1 ",
      "deviation over draws of references; AUPRO by the protocols named.</p>\n<table>\n");
  for (size_t e = 0; e < comparison.entries.size(); ++e) {
    const Entry& entry = comparison.entries[e];
    absl::StrAppend(&html, "<tr><td><span class=\"key ", ClassOf(e), "\">\u25a0</span> ",
                    EscapeHtml(entry.label), "</td><td>", EscapeHtml(entry.method), "</td><td>",
                    EscapeHtml(entry.model), "</td></tr>\n");
  }
  html += "</table>\n<div class=\"charts\">\n";
  const auto charts = [&](std::optional<size_t> data, const std::string& name) {
    absl::StrAppend(
        &html, ByShots(comparison, data, Column::kImageAuroc, absl::StrCat("Image AUROC, ", name)),
        ByShots(comparison, data, Column::kAuproSowa, absl::StrCat("AUPRO sowa, ", name)));
  };
  for (size_t d = 0; d < comparison.data.size(); ++d) charts(d, comparison.data[d].name);
  if (comparison.data.size() > 1) charts(std::nullopt, "mean");
  absl::StrAppend(&html, Times(comparison), "</div>\n");
  for (const Table& table : MakeTables(comparison)) html += ToHtml(table);
  const std::vector<std::string> missing = MissingLines(comparison);
  if (!missing.empty()) html += "<h2>Not compared</h2>\n<ul>\n";
  for (const std::string& line : missing) {
    absl::StrAppend(&html, "<li>", EscapeHtml(line), "</li>\n");
  }
  if (!missing.empty()) html += "</ul>\n";
  return html + "</html>\n";
}

}  // namespace hfwa::lab
