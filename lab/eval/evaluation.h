#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model/hfwa.h"
#include "lab/data/references.h"
#include "lab/eval/results.h"

namespace hfwa::lab {

enum class OnBadInput { kStop, kSkip };

struct EvaluationOptions {
  std::string data;   // see ReadDataSet
  std::string model;  // model directory
  std::vector<std::string> methods = {"hfwa"};
  // A method that the model lacks something for ends the run, or is named in the result.
  bool skip_unfit_methods = false;
  std::vector<std::string> classes;  // empty: all
  std::vector<int> shots = {0, 1, 2, 4};
  int seeds = 5;  // draws of references, of seeds first_seed, first_seed + 1, ...
  int first_seed = 0;
  Sampling sampling = Sampling::kByClass;
  std::string references;    // a list of them instead, see ReadReferenceList
  double coreset_ratio = 1;  // of the references' patches that hfwa keeps, (0, 1]
  // The first file that cannot be used ends the run, or is left out of it and named in the result.
  OnBadInput on_bad_input = OnBadInput::kStop;
  bool sizes = true;   // also by size of the defect
  bool kinds = true;   // also by kind of the defect, images alone
  bool levels = true;  // also by level of the model
  int pictures = 0;    // for the report, of each kind and class
  int curve_points = 0;
  size_t memory_bytes = size_t{3} << 29;          // for pixels
  size_t feature_memory_bytes = size_t{1} << 30;  // for tokens
  std::string scratch;                            // folder for what does not fit
  model::HfwaOptions hfwa;
  std::function<void(const std::string&)> progress = [](const std::string&) {};
};

// INVALID_ARGUMENT where options, set or model do not fit; with kStop also for a bad file, which
// the message names.
absl::StatusOr<EvaluationResult> Evaluate(const EvaluationOptions& options);

}  // namespace hfwa::lab
