#pragma once

// Charts for pages that are whole by themselves.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hfwa {

// `text` for HTML, in text as in attributes.
std::string EscapeHtml(std::string_view text);

// What a page's style sheet needs for charts: the classes "a", "b" and "bad", for lines as for
// areas.
extern const char kChartStyle[];

// One side of a chart.
struct Axis {
  double low = 0;
  double high = 1;
  bool log = false;  // Then both ends are more than 0.
  std::string label{};
  // Where there are ticks, and what they say.
  std::vector<std::pair<double, std::string>> ticks{};

  // 0 at `low`, 1 at `high`, and never beyond.
  double Place(double value) const;
};

// An axis that holds `low` to `high`, with ticks at round numbers.
Axis LinearAxis(double low, double high, std::string label);
Axis LogAxis(double low, double high, std::string label);

// A chart as an SVG element to put into a page, drawn with the page's classes.
class Chart {
 public:
  // In pixels.
  struct Size {
    double width = 760;
    double height = 300;
  };
  Chart(std::string title, Axis x, Axis y);
  Chart(std::string title, Axis x, Axis y, Size size);
  void Line(const std::vector<std::pair<double, double>>& points, std::string_view css_class);
  // Between (x0, y0) and (x1, y1), in the axes' units. `note` shows where the pointer rests.
  void Rect(double x0, double y0, double x1, double y1, std::string_view css_class,
            double opacity = 1, std::string_view note = {});
  // A title's lines: what the classes stand for.
  void Legend(std::string_view css_class, std::string_view text);
  std::string Svg() const;

 private:
  double X(double value) const;
  double Y(double value) const;

  const Size size_;
  const std::string title_;
  const Axis x_;
  const Axis y_;
  std::string body_;
  std::string legend_;
};

}  // namespace hfwa
