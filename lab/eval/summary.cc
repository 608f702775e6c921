#include "lab/eval/summary.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <utility>

#include "lab/metrics/statistics.h"

namespace hfwa::lab {
namespace {

constexpr std::array<const char*, kColumns> kKeys = {"image_auroc",
                                                     "image_ap",
                                                     "image_f1_max",
                                                     "pixel_auroc",
                                                     "pixel_ap",
                                                     "pixel_f1_max",
                                                     "pixel_aupro_sowa",
                                                     "pixel_aupro_anomalib",
                                                     "good_called_anomalous",
                                                     "defects_called_anomalous"};

void Put(Row& row, Column column, const Metric& metric) {
  row.values[static_cast<size_t>(column)] = metric;
}

Row MakeRow(const Measurement& of, const Subset& subset, const ImageMetrics& images, bool first) {
  Row row = {.method = of.method,
             .class_name = of.class_name,
             .shots = of.shots,
             .seed = of.seed,
             .subset = subset.name,
             .scoring = images.scoring,
             .good = subset.good,
             .defects = subset.defects,
             .values = std::vector<std::optional<Metric>>(kColumns)};
  Put(row, Column::kImageAuroc, images.ranking.auroc);
  Put(row, Column::kImageAp, images.ranking.ap);
  Put(row, Column::kImageF1Max, images.ranking.f1_max);
  if (images.good_called_anomalous.undefined != "no threshold") {
    Put(row, Column::kGoodCalled, images.good_called_anomalous);
    Put(row, Column::kDefectsCalled, images.defects_called_anomalous);
  }
  if (!first) return row;
  Put(row, Column::kPixelAuroc, subset.pixels.ranking.auroc);
  Put(row, Column::kPixelAp, subset.pixels.ranking.ap);
  Put(row, Column::kPixelF1Max, subset.pixels.ranking.f1_max);
  Put(row, Column::kAuproSowa, subset.pixels.aupro_sowa);
  Put(row, Column::kAuproAnomalib, subset.pixels.ranking.aupro);
  return row;
}

using Values = std::vector<Metric>;

// Of a value a draw.
Spread Over(const Values& draws) {
  Spread spread;
  spread.draws = static_cast<int>(draws.size());
  std::vector<double> defined, all;
  for (const Metric& metric : draws) {
    all.push_back(metric.value);
    if (metric.defined()) {
      defined.push_back(metric.value);
    } else if (spread.undefined.empty()) {
      spread.undefined = metric.undefined;
    }
  }
  spread.with_placeholders = Mean(all);
  if (defined.empty()) {
    spread.classes = 0;
    return spread;
  }
  spread.undefined.clear();
  spread.mean = Mean(defined);
  spread.deviation = Deviation(defined);
  return spread;
}

// Means over classes of each draw, then over draws.
Spread OverClasses(const std::map<int, Values>& classes_of_draw) {
  Values means, placeholders;
  size_t classes = 0;
  for (const auto& [seed, values] : classes_of_draw) {
    std::vector<double> defined, all;
    std::string why;
    for (const Metric& metric : values) {
      all.push_back(metric.value);
      if (metric.defined()) defined.push_back(metric.value);
      if (why.empty()) why = metric.undefined;
    }
    classes = std::max(classes, defined.size());
    placeholders.push_back({.value = Mean(all), .undefined = ""});
    means.push_back(defined.empty() ? Metric::Undefined(why)
                                    : Metric{.value = Mean(defined), .undefined = ""});
  }
  Spread spread = Over(means);
  spread.classes = static_cast<int>(classes);
  spread.with_placeholders = Over(placeholders).mean;
  return spread;
}

// What rows have in common that are averaged: method, shots, subset, scoring.
using Key = std::tuple<std::string, int, std::string, std::string>;
Key KeyOf(const Row& row) { return {row.method, row.shots, row.subset, row.scoring}; }

Average MakeAverage(const Key& key, const std::string& class_name) {
  const auto& [method, shots, subset, scoring] = key;
  return {.method = method,
          .class_name = class_name,
          .shots = shots,
          .subset = subset,
          .scoring = scoring,
          .values = std::vector<std::optional<Spread>>(kColumns)};
}

template <typename T>
void AddOnce(std::vector<T>& list, const T& value) {
  if (std::find(list.begin(), list.end(), value) == list.end()) list.push_back(value);
}

void AddAverages(const Key& key, const std::vector<const Row*>& rows,
                 std::vector<Average>& averages) {
  std::vector<std::string> classes;
  for (const Row* row : rows) AddOnce(classes, row->class_name);
  for (const std::string& name : classes) {
    Average average = MakeAverage(key, name);
    for (size_t c = 0; c < kColumns; ++c) {
      Values draws;
      for (const Row* row : rows) {
        if (row->class_name == name && row->values[c].has_value()) draws.push_back(*row->values[c]);
      }
      if (!draws.empty()) average.values[c] = Over(draws);
    }
    averages.push_back(std::move(average));
  }
  Average mean = MakeAverage(key, "");
  for (size_t c = 0; c < kColumns; ++c) {
    std::map<int, Values> classes_of_draw;
    for (const Row* row : rows) {
      if (row->values[c].has_value()) classes_of_draw[row->seed].push_back(*row->values[c]);
    }
    if (!classes_of_draw.empty()) mean.values[c] = OverClasses(classes_of_draw);
  }
  averages.push_back(std::move(mean));
}

}  // namespace

const char* ColumnKey(size_t column) { return kKeys[column]; }

std::vector<Row> ToRows(const EvaluationResult& result) {
  std::vector<Row> rows;
  for (const Measurement& of : result.measurements) {
    for (const Subset& subset : of.subsets) {
      for (size_t i = 0; i < subset.images.size(); ++i) {
        rows.push_back(MakeRow(of, subset, subset.images[i], i == 0));
      }
    }
  }
  return rows;
}

std::vector<Average> Averages(const std::vector<Row>& rows) {
  std::vector<Key> keys;
  std::map<Key, std::vector<const Row*>> by_key;
  for (const Row& row : rows) {
    AddOnce(keys, KeyOf(row));
    by_key[KeyOf(row)].push_back(&row);
  }
  std::vector<Average> averages;
  for (const Key& key : keys) AddAverages(key, by_key[key], averages);
  return averages;
}

}  // namespace hfwa::lab
