#pragma once

// Methods side by side over data sets: the paper's comparisons.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lab/eval/evaluation.h"
#include "lab/eval/results.h"
#include "lab/eval/summary.h"

namespace hfwa::lab {

struct NamedData {
  std::string name;
  std::string folder;
};

// A row of the comparison: a method on a model, so that variants of a model are compared too.
struct Entry {
  std::string label;
  std::string method;
  std::string model;  // directory
};

struct CompareOptions {
  std::vector<NamedData> data;
  std::vector<Entry> entries;
  // Draws, device, limits, ...; data, model and methods are filled in.
  EvaluationOptions evaluation;
};

// A method with a number of references on a data set.
struct Compared {
  size_t entry;
  std::optional<size_t> data;  // absent: mean over the sets where there is more than one
  int shots;
  // Means over classes, by Column; of the method's first scoring.
  std::vector<std::optional<Spread>> values;
  std::optional<Spread> service_auroc;  // of images, by the service's scoring
  double image_seconds = 0;             // to encode and judge one
  double fit_seconds = 0;               // on a class's references, encoded before
};

struct NotCompared {
  size_t entry;
  size_t data;
  std::optional<int> shots;  // absent: none
  std::string reason;
};

struct Comparison {
  std::vector<NamedData> data;
  std::vector<Entry> entries;
  std::vector<int> shots;
  std::vector<Compared> rows;  // by data, the mean last, then by entry, then by shots
  std::vector<NotCompared> missing;
  std::vector<EvaluationResult> runs;  // what it is made of: one a set and model
};

// "NAME=FOLDER", or "FOLDER", whose name is its last part. INVALID_ARGUMENT says what is wrong.
absl::StatusOr<NamedData> ParseData(const std::string& text);
// "LABEL=METHOD@MODEL"; without "@MODEL" the default.
absl::StatusOr<Entry> ParseEntry(const std::string& text, const std::string& default_model);

// INVALID_ARGUMENT as Evaluate, and for names that occur twice.
absl::StatusOr<Comparison> Compare(const CompareOptions& options);

// Of this set, or the mean, entry and number; null where nothing was measured.
const Compared* Find(const Comparison& comparison, std::optional<size_t> data, size_t entry,
                     int shots);

}  // namespace hfwa::lab
