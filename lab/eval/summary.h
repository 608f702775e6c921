#pragma once

// Measurements as rows of numbers, and their means.

#include <optional>
#include <string>
#include <vector>

#include "lab/eval/results.h"
#include "lab/metrics/metric.h"

namespace hfwa::lab {

// What a row may hold. AUPRO is the one metric that differs between the protocols `sowa` (the
// paper's program) and `anomalib` (exact, pooled false positive rate).
enum class Column {
  kImageAuroc,
  kImageAp,
  kImageF1Max,
  kPixelAuroc,
  kPixelAp,
  kPixelF1Max,
  kAuproSowa,
  kAuproAnomalib,
  kGoodCalled,
  kDefectsCalled,
};
inline constexpr size_t kColumns = 10;
// "image_auroc", "pixel_aupro_sowa", ...
const char* ColumnKey(size_t column);

// A subset of a class's images, scored one way, with one draw of references.
struct Row {
  std::string method;
  std::string class_name;
  int shots;
  int seed;
  std::string subset;
  std::string scoring;
  int good;
  int defects;
  // Absent where the row does not have the column: pixel metrics do not depend on the scoring, and
  // are in the first one's row.
  std::vector<std::optional<Metric>> values;
};
std::vector<Row> ToRows(const EvaluationResult& result);

// A number over several draws.
struct Spread {
  double mean = 0;
  double deviation = 0;  // of the population of draws
  int draws = 0;
  int classes = 1;        // that have a value in some draw
  std::string undefined;  // why there is none; empty: there is
  double with_placeholders =
      0;  // the mean with 0 for what is undefined, as the paper's program has
};

// Of the rows that differ in the draw alone; or, with an empty class, of their means over classes.
struct Average {
  std::string method;
  std::string class_name;
  int shots;
  std::string subset;
  std::string scoring;
  std::vector<std::optional<Spread>> values;
};
// Each class, then the mean over classes; methods, shots, subsets and scorings in the rows' order.
std::vector<Average> Averages(const std::vector<Row>& rows);

}  // namespace hfwa::lab
