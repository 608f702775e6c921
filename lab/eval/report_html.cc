#include "lab/eval/report_html.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/chart.h"

namespace hfwa::lab {
namespace {

constexpr char kStyle[] =
    "body{font:14px sans-serif;max-width:1200px;margin:2em auto;color-scheme:light dark}\n"
    "svg{width:380px}\n.charts,.pictures{display:flex;flex-wrap:wrap;gap:1em}\n"
    "td,th{padding:.1em 1em .1em "
    "0;text-align:right}\ntd:first-child,th:first-child{text-align:left}\n"
    ".picture{width:230px;font-size:12px;overflow-wrap:anywhere}\n"
    ".picture img{width:110px;image-rendering:auto}\n.scroll{overflow-x:auto}\n";

constexpr Chart::Size kSize = {.width = 380, .height = 280};

using Points = std::vector<std::pair<double, double>>;

Points ToPoints(const Curve& curve) {
  Points points;
  for (const CurvePoint& point : curve) points.emplace_back(point.x, point.y);
  return points;
}

// Image and pixel curve in one chart, where there is one.
std::string CurveChart(const char* title, const char* x, const char* y, double x_max,
                       const Curve* image, const Curve& pixel) {
  Chart chart(title, LinearAxis(0, x_max, x), LinearAxis(0, 1, y), kSize);
  if (image != nullptr && image->size() > 1) {
    chart.Line(ToPoints(*image), "a");
    chart.Legend("a", "image");
  }
  if (pixel.size() > 1) {
    chart.Line(ToPoints(pixel), "b");
    chart.Legend("b", "pixel");
  }
  return chart.Svg();
}

std::string Histogram(const Measurement& of) {
  constexpr int kBins = 30;
  if (of.scores.empty()) return "";
  const auto [least, most] = std::minmax_element(
      of.scores.begin(), of.scores.end(),
      [](const ImageScore& a, const ImageScore& b) { return a.score < b.score; });
  const double low = std::floor(least->score * 20) / 20;
  const double high = std::max(most->score, low + 1e-6);
  std::vector<int> good(kBins), defects(kBins);
  for (const ImageScore& score : of.scores) {
    const int bin =
        std::min(static_cast<int>((score.score - low) / (high - low) * kBins), kBins - 1);
    ++(score.anomalous ? defects : good)[static_cast<size_t>(bin)];
  }
  const int tallest = std::max(*std::max_element(good.begin(), good.end()),
                               *std::max_element(defects.begin(), defects.end()));
  Chart chart("Image scores", LinearAxis(low, high, "score"), LinearAxis(0, tallest, "images"),
              kSize);
  const auto draw = [&](const std::vector<int>& bins, const char* css_class, const char* what) {
    for (int i = 0; i < kBins; ++i) {
      const int count = bins[static_cast<size_t>(i)];
      if (count == 0) continue;
      const double width = (high - low) / kBins;
      chart.Rect(low + i * width, 0, low + (i + 1) * width, count, css_class, 0.6,
                 absl::StrCat(count, " ", what));
    }
    chart.Legend(css_class, what);
  };
  draw(good, "a", "good");
  draw(defects, "b", "defective");
  return chart.Svg();
}

std::string DataUri(const char* type, const std::string& bytes) {
  return absl::StrCat("data:image/", type, ";base64,", absl::Base64Escape(bytes));
}

std::string PicturesHtml(const char* title, const std::vector<Picture>& pictures) {
  if (pictures.empty()) return "";
  std::string html = absl::StrCat("<h4>", title, "</h4>\n<div class=\"pictures\">\n");
  for (const Picture& picture : pictures) {
    absl::StrAppend(&html, "<div class=\"picture\"><img alt=\"image\" src=\"",
                    DataUri("jpeg", picture.image_jpeg), "\"> <img alt=\"map\" src=\"",
                    DataUri("jpeg", picture.overlay_jpeg), "\">");
    if (!picture.mask_png.empty()) {
      absl::StrAppend(&html, " <img alt=\"mask\" src=\"", DataUri("png", picture.mask_png), "\">");
    }
    absl::StrAppend(&html, "<br>", absl::StrFormat("%.3f", picture.score), " ",
                    EscapeHtml(picture.kind), "<br>", EscapeHtml(picture.path), "</div>\n");
  }
  return html + "</div>\n";
}

std::string ClassHtml(const Measurement& of, const ClassPictures* pictures) {
  std::string html = absl::StrCat(
      "<details><summary>", EscapeHtml(of.class_name), ": ", EscapeHtml(of.method), ", ", of.shots,
      " references, seed ", of.seed,
      "</summary>\n<p>References: ", EscapeHtml(absl::StrJoin(of.references, ", ")), "</p>\n");
  const Subset& all = of.subsets.front();
  const Ranking& image = all.images.front().ranking;
  const Ranking& pixel = all.pixels.ranking;
  absl::StrAppend(
      &html, "<div class=\"charts\">\n",
      CurveChart("ROC", "false positive rate", "true positive rate", 1, &image.roc, pixel.roc),
      CurveChart("Precision and recall", "recall", "precision", 1, &image.pr, pixel.pr),
      CurveChart("Per-region overlap", "false positive rate", "mean overlap", kFprMax, nullptr,
                 pixel.pro),
      Histogram(of), "</div>\n");
  if (pictures != nullptr) {
    absl::StrAppend(&html, PicturesHtml("Worst: defects that score lowest", pictures->missed),
                    PicturesHtml("Worst: good ones that score highest", pictures->false_alarm),
                    PicturesHtml("Best: defects that score highest", pictures->found),
                    PicturesHtml("Best: good ones that score lowest", pictures->passed));
  }
  return html + "</details>\n";
}

// The largest number of references and the first draw of each method and class.
std::vector<const Measurement*> Shown(const EvaluationResult& result) {
  std::vector<const Measurement*> shown;
  for (const Measurement& of : result.measurements) {
    if (!of.missing.empty() || of.subsets.empty()) continue;
    const auto same = std::find_if(shown.begin(), shown.end(), [&](const Measurement* other) {
      return other->method == of.method && other->class_name == of.class_name;
    });
    if (same == shown.end()) {
      shown.push_back(&of);
    } else if (of.shots > (*same)->shots) {
      *same = &of;
    }
  }
  return shown;
}

std::string SubjectHtml(const Subject& subject) {
  std::string html = "<table>\n";
  const auto row = [&html](const char* name, const std::string& value) {
    absl::StrAppend(&html, "<tr><td>", name, "</td><td>", EscapeHtml(value), "</td></tr>\n");
  };
  row("data",
      absl::StrCat(subject.data, " (", subject.layout, "), ", subject.images, " test images"));
  row("model", subject.model);
  row("model digest", subject.digest);
  row("device, precision", absl::StrCat(subject.device, ", ", subject.precision));
  row("references", absl::StrCat(subject.sampling, ", seeds ", absl::StrJoin(subject.seeds, ", ")));
  row("protocols",
      "sowa: AUPRO at 200 thresholds, false positive rate averaged over images; "
      "anomalib: at every value, pooled over pixels; all else is the same in both");
  row("cells", "percent, mean \u00b1 deviation over draws of references");
  return html + "</table>\n";
}

}  // namespace

std::string ToHtml(const Table& table) {
  std::string html =
      absl::StrCat("<h3>", EscapeHtml(table.title), "</h3>\n<div class=\"scroll\"><table>\n<tr>");
  for (const std::string& cell : table.head)
    absl::StrAppend(&html, "<th>", EscapeHtml(cell), "</th>");
  html += "</tr>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (const std::string& cell : row) absl::StrAppend(&html, "<td>", EscapeHtml(cell), "</td>");
    html += "</tr>\n";
  }
  html += "</table></div>\n";
  for (const std::string& note : table.notes) {
    absl::StrAppend(&html, "<p>n/a: ", EscapeHtml(note), "</p>\n");
  }
  return html;
}

std::string ToHtml(const EvaluationResult& result, const std::vector<Average>& averages) {
  std::string html = absl::StrCat(
      "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>hfwa-eval "
      "run</title>\n"
      "<style>\n",
      kStyle, kChartStyle, "</style>\n<h1>hfwa-eval run</h1>\n", SubjectHtml(result.subject));
  for (const Table& table : MakeTables(result, averages)) html += ToHtml(table);
  html += "<h2>Classes</h2>\n";
  for (const Measurement* of : Shown(result)) {
    const auto pictures =
        std::find_if(result.pictures.begin(), result.pictures.end(), [of](const auto& candidate) {
          return candidate.method == of->method && candidate.class_name == of->class_name &&
                 candidate.shots == of->shots && candidate.seed == of->seed;
        });
    html += ClassHtml(*of, pictures == result.pictures.end() ? nullptr : &*pictures);
  }
  if (!result.problems.empty()) html += "<h2>Problems</h2>\n<ul>\n";
  for (const Problem& problem : result.problems) {
    absl::StrAppend(&html, "<li>", EscapeHtml(ToString(problem)), "</li>\n");
  }
  if (!result.problems.empty()) html += "</ul>\n";
  return html + "</html>\n";
}

}  // namespace hfwa::lab
