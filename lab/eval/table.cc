#include "lab/eval/table.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace hfwa::lab {
namespace {

constexpr size_t At(Column column) { return static_cast<size_t>(column); }

struct Heading {
  Column column;
  const char* text;
};
const std::vector<Heading>& PaperColumns() {
  static const auto* const kHeadings = new std::vector<Heading>{
      {Column::kImageAuroc, "image AUROC"},  {Column::kImageAp, "image AP"},
      {Column::kImageF1Max, "image F1-max"}, {Column::kPixelAuroc, "pixel AUROC"},
      {Column::kPixelAp, "pixel AP"},        {Column::kPixelF1Max, "pixel F1-max"},
      {Column::kAuproSowa, "AUPRO sowa"},    {Column::kAuproAnomalib, "AUPRO anomalib"}};
  return *kHeadings;
}
const std::vector<Heading>& ImageColumns() {
  static const auto* const kHeadings =
      new std::vector<Heading>(PaperColumns().begin(), PaperColumns().begin() + 3);
  return *kHeadings;
}
const std::vector<Heading>& ServiceColumns() {
  static const auto* const kHeadings =
      new std::vector<Heading>{{Column::kImageAuroc, "image AUROC"},
                               {Column::kImageAp, "image AP"},
                               {Column::kImageF1Max, "image F1-max"},
                               {Column::kGoodCalled, "good called anomalous"},
                               {Column::kDefectsCalled, "defects called anomalous"}};
  return *kHeadings;
}

// Subsets that make a table of their own.
struct Division {
  const char* prefix;  // of their names
  const char* by;
  const char* first;  // heading of the first column
  const char* whole;  // what all of them together are called there; empty: not shown
  bool images_alone;
};
constexpr Division kDivisions[] = {{"size ", "size of the defect", "share of the image", "", false},
                                   {"kind ", "kind of the defect", "kind", "", true},
                                   {"level ", "level", "level", "fused", false}};

// As long as a terminal shows it: bytes that continue a character take no place.
size_t Width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

// Which averages a table shows, and what its first cell says of each; empty: not shown.
using Label = std::function<std::string(const Average&)>;

Table MakeTable(std::string title, const char* first, const std::vector<Heading>& headings,
                const std::vector<const Average*>& averages, const Label& label) {
  Table table = {.title = std::move(title), .head = {first}, .rows = {}, .notes = {}};
  for (const Heading& heading : headings) table.head.emplace_back(heading.text);
  for (const Average* average : averages) {
    const std::string name = label(*average);
    if (name.empty()) continue;
    std::vector<std::string> cells = {name};
    std::map<std::string, std::vector<std::string>> reasons;  // -> columns
    for (const Heading& heading : headings) {
      const std::optional<Spread>& spread = average->values[At(heading.column)];
      cells.push_back(ToText(spread));
      if (spread.has_value() && !spread->undefined.empty()) {
        reasons[spread->undefined].emplace_back(heading.text);
      }
    }
    for (const auto& [why, columns] : reasons) {
      table.notes.push_back(absl::StrCat(name, ", ", absl::StrJoin(columns, ", "), ": ", why));
    }
    table.rows.push_back(std::move(cells));
  }
  return table;
}

std::string ClassLabel(const Average& average) {
  return average.class_name.empty() ? "mean" : average.class_name;
}

std::string Title(const std::string& method, int shots, const EvaluationResult& result) {
  const size_t draws = shots == 0 ? 1 : result.subject.seeds.size();
  return absl::StrCat(method, ", ",
                      shots == 0   ? "no references"
                      : shots == 1 ? "1 reference"
                                   : absl::StrCat(shots, " references"),
                      draws > 1 ? absl::StrCat(", ", draws, " draws") : "");
}

bool HasThreshold(const std::vector<const Average*>& averages, const std::string& scoring) {
  return std::any_of(averages.begin(), averages.end(), [&](const Average* average) {
    return average->scoring == scoring && average->values[At(Column::kGoodCalled)].has_value();
  });
}

}  // namespace

void PrintTable(const Table& table, std::ostream& out) {
  std::vector<size_t> widths;
  const auto measure = [&widths](const std::vector<std::string>& cells) {
    widths.resize(std::max(widths.size(), cells.size()));
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], Width(cells[i]));
  };
  measure(table.head);
  for (const auto& row : table.rows) measure(row);
  const auto print = [&](const std::vector<std::string>& cells) {
    for (size_t i = 0; i < cells.size(); ++i) {
      const std::string fill(widths[i] - Width(cells[i]), ' ');
      out << (i == 0 ? cells[i] + fill : "  " + fill + cells[i]);
    }
    out << "\n";
  };
  out << table.title << "\n";
  print(table.head);
  for (const auto& row : table.rows) print(row);
  for (const std::string& note : table.notes) out << "n/a: " << note << "\n";
  out << "\n";
}

std::string ToText(const std::optional<Spread>& spread) {
  if (!spread.has_value()) return "";
  if (!spread->undefined.empty()) return "n/a";
  if (spread->draws < 2) return absl::StrFormat("%.1f", 100 * spread->mean);
  return absl::StrFormat("%.1f \u00b1 %.1f", 100 * spread->mean, 100 * spread->deviation);
}

std::vector<Table> MakeTables(const EvaluationResult& result,
                              const std::vector<Average>& averages) {
  std::vector<Table> tables;
  const bool one_class = result.classes.size() == 1;
  for (const std::string& method : result.methods) {
    for (const int shots : result.subject.shots) {
      std::vector<const Average*> of;
      std::vector<std::string> scorings;
      for (const Average& average : averages) {
        if (average.method != method || average.shots != shots) continue;
        of.push_back(&average);
        if (std::find(scorings.begin(), scorings.end(), average.scoring) == scorings.end()) {
          scorings.push_back(average.scoring);
        }
      }
      if (of.empty()) continue;
      const std::string title = Title(method, shots, result);
      for (const std::string& scoring : scorings) {
        const bool first = scoring == scorings.front();
        // Without references the service scores as the paper does.
        if (!first && shots == 0) continue;
        tables.push_back(MakeTable(absl::StrCat(title, ": ", scoring, " scoring"), "class",
                                   first                       ? PaperColumns()
                                   : HasThreshold(of, scoring) ? ServiceColumns()
                                                               : ImageColumns(),
                                   of, [&](const Average& average) -> std::string {
                                     if (average.scoring != scoring || average.subset != "all")
                                       return "";
                                     return one_class && average.class_name.empty()
                                                ? ""
                                                : ClassLabel(average);
                                   }));
      }
      for (const Division& division : kDivisions) {
        const bool levels = division.whole[0] != 0;
        Table table = MakeTable(
            absl::StrCat(title, ": by ", division.by, one_class ? "" : ", mean over classes"),
            division.first, division.images_alone ? ImageColumns() : PaperColumns(), of,
            [&](const Average& average) -> std::string {
              if (average.scoring != scorings.front() || !average.class_name.empty()) return "";
              if (levels && average.subset == "all") return division.whole;
              if (!absl::StartsWith(average.subset, division.prefix)) return "";
              return std::string(absl::StripPrefix(average.subset, division.prefix));
            });
        // The fused maps alone would repeat the first table.
        if (table.rows.size() > (levels ? 1U : 0U)) tables.push_back(std::move(table));
      }
    }
  }
  return tables;
}

void PrintTables(const EvaluationResult& result, const std::vector<Average>& averages,
                 std::ostream& out) {
  const Subject& subject = result.subject;
  out << subject.data << " (" << subject.layout << "): " << subject.images << " test images, "
      << result.classes.size() << (result.classes.size() == 1 ? " class" : " classes") << "; "
      << subject.model << ", " << subject.precision << ", " << subject.device << "; "
      << absl::StrFormat("%.0f s", subject.seconds)
      << "\npercent, mean \u00b1 deviation over draws of references\n\n";
  for (const Table& table : MakeTables(result, averages)) PrintTable(table, out);
  std::set<std::string> missing;
  for (const Measurement& of : result.measurements) {
    if (of.missing.empty()) continue;
    missing.insert(absl::StrCat("not measured: ", of.method, ", ", of.class_name, ", ", of.shots,
                                " references: ", of.missing));
  }
  for (const std::string& text : missing) out << text << "\n";
  for (const Problem& problem : result.problems) out << "problem: " << ToString(problem) << "\n";
}

}  // namespace hfwa::lab
