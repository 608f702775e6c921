#include "lab/eval/output.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace hfwa::lab {
namespace {

using Json = nlohmann::ordered_json;

Json ValuesToJson(const Row& row) {
  Json values = Json::object();
  for (size_t c = 0; c < kColumns; ++c) {
    if (!row.values[c].has_value()) continue;
    const Metric& metric = *row.values[c];
    values[ColumnKey(c)] =
        metric.defined() ? Json(metric.value) : Json{{"undefined", metric.undefined}};
  }
  return values;
}

Json ValuesToJson(const Average& average) {
  Json values = Json::object();
  for (size_t c = 0; c < kColumns; ++c) {
    if (!average.values[c].has_value()) continue;
    const Spread& spread = *average.values[c];
    if (!spread.undefined.empty()) {
      values[ColumnKey(c)] = Json{{"undefined", spread.undefined}};
      continue;
    }
    values[ColumnKey(c)] = Json{{"mean", spread.mean},
                                {"deviation", spread.deviation},
                                {"draws", spread.draws},
                                {"mean_with_placeholders", spread.with_placeholders}};
    if (average.class_name.empty()) values[ColumnKey(c)]["classes"] = spread.classes;
  }
  return values;
}

const char* EffectName(Problem::Effect effect) {
  switch (effect) {
    case Problem::Effect::kNote:
      return "note";
    case Problem::Effect::kNoMask:
      return "mask left out";
    case Problem::Effect::kLeftOut:
      return "left out";
  }
  return "";
}

}  // namespace

std::string CsvCell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

std::string ToJson(const EvaluationResult& result, const std::vector<Row>& rows,
                   const std::vector<Average>& averages) {
  const Subject& subject = result.subject;
  Json json = {{"format", 1},
               {"data", {{"path", subject.data}, {"layout", subject.layout}}},
               {"model",
                {{"path", subject.model},
                 {"digest", subject.digest},
                 {"device", subject.device},
                 {"precision", subject.precision}}},
               {"sampling", subject.sampling},
               {"shots", subject.shots},
               {"seeds", subject.seeds},
               {"images", subject.images},
               {"seconds", subject.seconds},
               {"methods", result.methods},
               {"classes", result.classes}};
  json["protocols"] = {
      {"sowa", "AUPRO at 200 thresholds, false positive rate averaged over images"},
      {"anomalib", "AUPRO at every value, false positive rate pooled over pixels"}};
  json["averages"] = Json::array();
  for (const Average& average : averages) {
    json["averages"].push_back(
        {{"method", average.method},
         {"class", average.class_name.empty() ? Json(nullptr) : Json(average.class_name)},
         {"shots", average.shots},
         {"subset", average.subset},
         {"scoring", average.scoring},
         {"metrics", ValuesToJson(average)}});
  }
  json["rows"] = Json::array();
  for (const Row& row : rows) {
    json["rows"].push_back({{"method", row.method},
                            {"class", row.class_name},
                            {"shots", row.shots},
                            {"seed", row.seed},
                            {"subset", row.subset},
                            {"scoring", row.scoring},
                            {"good", row.good},
                            {"defects", row.defects},
                            {"metrics", ValuesToJson(row)}});
  }
  json["draws"] = Json::array();
  for (const Measurement& of : result.measurements) {
    Json draw = {
        {"method", of.method},
        {"class", of.class_name},
        {"shots", of.shots},
        {"seed", of.seed},
        {"references", of.references},
        {"seconds", {{"fit", of.time.fit}, {"encode", of.time.encode}, {"judge", of.time.judge}}}};
    if (!of.missing.empty()) draw["not_measured"] = of.missing;
    json["draws"].push_back(std::move(draw));
  }
  json["problems"] = Json::array();
  for (const Problem& problem : result.problems) {
    json["problems"].push_back(
        {{"file", problem.file}, {"what", problem.what}, {"effect", EffectName(problem.effect)}});
  }
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string ToCsv(const std::vector<Row>& rows) {
  std::string csv = "method,class,shots,seed,subset,scoring,good,defects";
  for (size_t c = 0; c < kColumns; ++c) absl::StrAppend(&csv, ",", ColumnKey(c));
  csv += "\n";
  for (const Row& row : rows) {
    absl::StrAppend(&csv, CsvCell(row.method), ",", CsvCell(row.class_name), ",", row.shots, ",",
                    row.seed, ",", CsvCell(row.subset), ",", CsvCell(row.scoring), ",", row.good,
                    ",", row.defects);
    for (const auto& value : row.values) {
      absl::StrAppend(&csv, ",",
                      !value.has_value()  ? ""
                      : !value->defined() ? "n/a"
                                          : absl::StrFormat("%.9g", value->value));
    }
    csv += "\n";
  }
  return csv;
}

}  // namespace hfwa::lab
