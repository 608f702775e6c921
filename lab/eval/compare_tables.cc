#include "lab/eval/compare_tables.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lab/eval/output.h"

namespace hfwa::lab {
namespace {

struct Heading {
  Column column;
  const char* text;
};
// What the paper compares by.
constexpr Heading kPaper[] = {{Column::kImageAuroc, "image AUROC"},
                              {Column::kImageAp, "image AP"},
                              {Column::kPixelAuroc, "pixel AUROC"},
                              {Column::kAuproSowa, "AUPRO sowa"}};
constexpr Heading kAll[] = {
    {Column::kImageAuroc, "image AUROC"},  {Column::kImageAp, "image AP"},
    {Column::kImageF1Max, "image F1-max"}, {Column::kPixelAuroc, "pixel AUROC"},
    {Column::kPixelAp, "pixel AP"},        {Column::kPixelF1Max, "pixel F1-max"},
    {Column::kAuproSowa, "AUPRO sowa"},    {Column::kAuproAnomalib, "AUPRO anomalib"}};

std::string Shots(int shots) {
  return shots == 0   ? "no references"
         : shots == 1 ? "1 reference"
                      : absl::StrCat(shots, " references");
}

// The sets, and their mean where there are several.
std::vector<std::optional<size_t>> Sets(const Comparison& comparison) {
  std::vector<std::optional<size_t>> sets;
  for (size_t d = 0; d < comparison.data.size(); ++d) sets.emplace_back(d);
  if (sets.size() > 1) sets.emplace_back(std::nullopt);
  return sets;
}

std::string SetName(const Comparison& comparison, std::optional<size_t> data) {
  return data.has_value() ? comparison.data[*data].name : "mean";
}

std::string Cell(const Compared* row, Column column) {
  return row == nullptr ? "-" : ToText(row->values[static_cast<size_t>(column)]);
}

// Entries that were measured with so many references somewhere.
std::vector<size_t> Measured(const Comparison& comparison, int shots) {
  std::vector<size_t> entries;
  for (size_t e = 0; e < comparison.entries.size(); ++e) {
    if (std::any_of(comparison.rows.begin(), comparison.rows.end(),
                    [&](const Compared& row) { return row.entry == e && row.shots == shots; })) {
      entries.push_back(e);
    }
  }
  return entries;
}

Table MetricsBySet(const Comparison& comparison, int shots) {
  const std::vector<size_t> entries = Measured(comparison, shots);
  Table table = {.title = absl::StrCat(Shots(shots), ": metric and data set"),
                 .head = {""},
                 .rows = {},
                 .notes = {}};
  for (const size_t e : entries) table.head.push_back(comparison.entries[e].label);
  for (const Heading& heading : kPaper) {
    for (const std::optional<size_t>& data : Sets(comparison)) {
      std::vector<std::string> cells = {
          absl::StrCat(heading.text, ", ", SetName(comparison, data))};
      for (const size_t e : entries) {
        cells.push_back(Cell(Find(comparison, data, e, shots), heading.column));
      }
      table.rows.push_back(std::move(cells));
    }
  }
  return table;
}

Table MethodsBySet(const Comparison& comparison, int shots) {
  Table table = {.title = absl::StrCat(Shots(shots), ": methods"),
                 .head = {"method"},
                 .rows = {},
                 .notes = {}};
  constexpr Heading kShort[] = {{Column::kImageAuroc, "image AUROC"},
                                {Column::kPixelAuroc, "pixel AUROC"},
                                {Column::kAuproSowa, "AUPRO sowa"}};
  for (const std::optional<size_t>& data : Sets(comparison)) {
    for (const Heading& heading : kShort) {
      table.head.push_back(absl::StrCat(SetName(comparison, data), " ", heading.text));
    }
  }
  for (const size_t e : Measured(comparison, shots)) {
    std::vector<std::string> cells = {comparison.entries[e].label};
    for (const std::optional<size_t>& data : Sets(comparison)) {
      for (const Heading& heading : kShort) {
        cells.push_back(Cell(Find(comparison, data, e, shots), heading.column));
      }
    }
    table.rows.push_back(std::move(cells));
  }
  return table;
}

Table MethodsByShots(const Comparison& comparison, std::optional<size_t> data) {
  Table table = {.title = absl::StrCat(SetName(comparison, data), ": methods by references"),
                 .head = {"method", "K"},
                 .rows = {},
                 .notes = {}};
  for (const Heading& heading : kAll) table.head.emplace_back(heading.text);
  table.head.insert(table.head.end(), {"service's image AUROC", "ms an image", "s to fit"});
  for (const Compared& row : comparison.rows) {
    if (row.data != data) continue;
    std::vector<std::string> cells = {comparison.entries[row.entry].label, absl::StrCat(row.shots)};
    for (const Heading& heading : kAll) cells.push_back(Cell(&row, heading.column));
    cells.push_back(ToText(row.service_auroc));
    cells.push_back(absl::StrFormat("%.1f", 1e3 * row.image_seconds));
    cells.push_back(absl::StrFormat("%.2f", row.fit_seconds));
    table.rows.push_back(std::move(cells));
  }
  return table;
}

nlohmann::ordered_json ToJson(const std::optional<Spread>& spread) {
  if (!spread.has_value()) return nullptr;
  if (!spread->undefined.empty()) return {{"undefined", spread->undefined}};
  return {{"mean", spread->mean}, {"deviation", spread->deviation}, {"draws", spread->draws}};
}

std::string CsvNumber(const std::optional<Spread>& spread) {
  if (!spread.has_value()) return "";
  return spread->undefined.empty() ? absl::StrFormat("%.6f", spread->mean) : "n/a";
}

}  // namespace

std::vector<Table> MakeTables(const Comparison& comparison) {
  std::vector<Table> tables;
  for (const int shots : comparison.shots) {
    if (!Measured(comparison, shots).empty()) {
      tables.push_back(MetricsBySet(comparison, shots));
    }
  }
  const int most = *std::max_element(comparison.shots.begin(), comparison.shots.end());
  if (!Measured(comparison, most).empty()) tables.push_back(MethodsBySet(comparison, most));
  for (const std::optional<size_t>& data : Sets(comparison)) {
    Table table = MethodsByShots(comparison, data);
    if (!table.rows.empty()) tables.push_back(std::move(table));
  }
  return tables;
}

std::vector<std::string> MissingLines(const Comparison& comparison) {
  std::vector<std::string> lines;
  for (const NotCompared& of : comparison.missing) {
    lines.push_back(absl::StrCat(
        "not compared: ", comparison.entries[of.entry].label, ", ", comparison.data[of.data].name,
        of.shots.has_value() ? absl::StrCat(", ", Shots(*of.shots)) : "", ": ", of.reason));
  }
  return lines;
}

std::string ToCsv(const Comparison& comparison) {
  std::string csv = "data,entry,method,model,shots";
  for (size_t c = 0; c < kColumns; ++c) absl::StrAppend(&csv, ",", ColumnKey(c));
  csv += ",service_image_auroc,image_seconds,fit_seconds\n";
  for (const Compared& row : comparison.rows) {
    const Entry& entry = comparison.entries[row.entry];
    absl::StrAppend(&csv, CsvCell(SetName(comparison, row.data)), ",", CsvCell(entry.label), ",",
                    entry.method, ",", CsvCell(entry.model), ",", row.shots);
    for (const auto& value : row.values) absl::StrAppend(&csv, ",", CsvNumber(value));
    absl::StrAppend(&csv, ",", CsvNumber(row.service_auroc),
                    absl::StrFormat(",%.6f,%.6f\n", row.image_seconds, row.fit_seconds));
  }
  return csv;
}

std::string ToJson(const Comparison& comparison) {
  using Json = nlohmann::ordered_json;
  Json json = {{"format", 1}, {"shots", comparison.shots}};
  for (const NamedData& data : comparison.data) {
    json["data"].push_back({{"name", data.name}, {"folder", data.folder}});
  }
  for (const Entry& entry : comparison.entries) {
    json["entries"].push_back(
        {{"label", entry.label}, {"method", entry.method}, {"model", entry.model}});
  }
  json["rows"] = Json::array();
  for (const Compared& row : comparison.rows) {
    Json metrics;
    for (size_t c = 0; c < kColumns; ++c) {
      if (row.values[c].has_value()) metrics[ColumnKey(c)] = ToJson(row.values[c]);
    }
    json["rows"].push_back(
        {{"data", row.data.has_value() ? Json(comparison.data[*row.data].name) : Json(nullptr)},
         {"entry", comparison.entries[row.entry].label},
         {"shots", row.shots},
         {"metrics", std::move(metrics)},
         {"service_image_auroc", ToJson(row.service_auroc)},
         {"image_seconds", row.image_seconds},
         {"fit_seconds", row.fit_seconds}});
  }
  json["missing"] = MissingLines(comparison);
  json["runs"] = Json::array();
  for (const EvaluationResult& run : comparison.runs) {
    const std::vector<Row> rows = ToRows(run);
    json["runs"].push_back(Json::parse(ToJson(run, rows, Averages(rows))));
  }
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace hfwa::lab
