#include "core/base/chart.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "core/base/strings.h"

namespace hfwa {
namespace {

// In pixels.
constexpr double kLeft = 80;
constexpr double kRight = 20;
constexpr double kTop = 30;
constexpr double kBottom = 45;

std::string Number(double value) { return absl::StrFormat("%.6g", value); }

}  // namespace

const char kChartStyle[] =
    "svg text{font-size:11px;fill:currentColor}\nsvg .title{font-size:14px;font-weight:bold}\n"
    ".grid{stroke:currentColor;opacity:.15}\n.line{fill:none;stroke-width:1.5}\n"
    "svg .a{fill:#2a6fbb}\nsvg .b{fill:#e08a1e}\nsvg .bad{fill:#c0392b}\n"
    "svg .line.a{fill:none;stroke:#2a6fbb}\nsvg .line.b{fill:none;stroke:#e08a1e}\n";

std::string EscapeHtml(std::string_view text) {
  return absl::StrReplaceAll(
      ToAbsl(text),
      {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

double Axis::Place(double value) const {
  const double place = log ? std::log(std::max(value, low) / low) / std::log(high / low)
                           : (value - low) / (high - low);
  return std::clamp(place, 0.0, 1.0);
}

Axis LinearAxis(double low, double high, std::string label) {
  if (!(high > low)) high = low + 1;
  const double rough = (high - low) / 6;
  const double decade = std::pow(10, std::floor(std::log10(rough)));
  const double step = decade * (rough <= decade       ? 1
                                : rough <= 2 * decade ? 2
                                : rough <= 5 * decade ? 5
                                                      : 10);
  Axis axis{.low = low, .high = std::ceil(high / step) * step, .label = std::move(label)};
  for (int i = 0; low + i * step <= axis.high * (1 + 1e-9); ++i) {
    axis.ticks.emplace_back(low + i * step, Number(low + i * step));
  }
  return axis;
}

Axis LogAxis(double low, double high, std::string label) {
  constexpr double kLeast = 1e-3;
  const auto first = static_cast<int>(std::floor(std::log10(std::max(low, kLeast))));
  const auto last =
      std::max(static_cast<int>(std::ceil(std::log10(std::max(high, kLeast)))), first + 1);
  Axis axis{.low = std::pow(10, first),
            .high = std::pow(10, last),
            .log = true,
            .label = std::move(label)};
  for (int decade = first; decade <= last; ++decade) {
    axis.ticks.emplace_back(std::pow(10, decade), Number(std::pow(10, decade)));
  }
  return axis;
}

Chart::Chart(std::string title, Axis x, Axis y)
    : Chart(std::move(title), std::move(x), std::move(y), Size{}) {}
Chart::Chart(std::string title, Axis x, Axis y, Size size)
    : size_(size), title_(std::move(title)), x_(std::move(x)), y_(std::move(y)) {}

double Chart::X(double value) const {
  return kLeft + x_.Place(value) * (size_.width - kLeft - kRight);
}
double Chart::Y(double value) const {
  return size_.height - kBottom - y_.Place(value) * (size_.height - kTop - kBottom);
}

void Chart::Line(const std::vector<std::pair<double, double>>& points, std::string_view css_class) {
  absl::StrAppend(&body_, "<polyline class=\"line ", ToAbsl(css_class), "\" points=\"");
  for (const auto& [x, y] : points) absl::StrAppendFormat(&body_, "%.1f,%.1f ", X(x), Y(y));
  body_ += "\"/>\n";
}

void Chart::Rect(double x0, double y0, double x1, double y1, std::string_view css_class,
                 double opacity, std::string_view note) {
  absl::StrAppendFormat(
      &body_, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"",
      ToAbsl(css_class), X(x0), Y(y1), std::max(X(x1) - X(x0), 0.5), std::max(Y(y0) - Y(y1), 0.5));
  if (opacity < 1) absl::StrAppendFormat(&body_, " opacity=\"%.2f\"", opacity);
  if (note.empty()) {
    body_ += "/>\n";
  } else {
    absl::StrAppend(&body_, "><title>", EscapeHtml(note), "</title></rect>\n");
  }
}

void Chart::Legend(std::string_view css_class, std::string_view text) {
  absl::StrAppend(&legend_, " <tspan class=\"", ToAbsl(css_class), "\">\u25a0</tspan> ",
                  EscapeHtml(text));
}

std::string Chart::Svg() const {
  std::string svg = absl::StrFormat(
      "<svg viewBox=\"0 0 %g %g\" role=\"img\">\n<text class=\"title\" x=\"%g\" "
      "y=\"18\">%s</text>\n"
      "<text x=\"%g\" y=\"18\" text-anchor=\"end\">%s</text>\n",
      size_.width, size_.height, kLeft, EscapeHtml(title_), size_.width - kRight, legend_);
  for (const auto& [value, text] : x_.ticks) {
    absl::StrAppendFormat(&svg,
                          "<path class=\"grid\" d=\"M%.1f %gV%g\"/><text x=\"%.1f\" y=\"%g\" "
                          "text-anchor=\"middle\">%s</text>\n",
                          X(value), kTop, size_.height - kBottom, X(value),
                          size_.height - kBottom + 16, EscapeHtml(text));
  }
  for (const auto& [value, text] : y_.ticks) {
    absl::StrAppendFormat(&svg,
                          "<path class=\"grid\" d=\"M%g %.1fH%g\"/><text x=\"%g\" y=\"%.1f\" "
                          "text-anchor=\"end\">%s</text>\n",
                          kLeft, Y(value), size_.width - kRight, kLeft - 6, Y(value) + 4,
                          EscapeHtml(text));
  }
  absl::StrAppendFormat(
      &svg,
      "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">%s</text>\n"
      "<text transform=\"translate(16 %g) rotate(-90)\" text-anchor=\"middle\">%s</text>\n",
      (kLeft + size_.width - kRight) / 2, size_.height - 8, EscapeHtml(x_.label),
      (kTop + size_.height - kBottom) / 2, EscapeHtml(y_.label));
  absl::StrAppend(&svg, body_, "</svg>\n");
  return svg;
}

}  // namespace hfwa
