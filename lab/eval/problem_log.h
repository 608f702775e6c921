#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lab/data/data_set.h"
#include "lab/eval/evaluation.h"

namespace hfwa::lab {

// What is wrong with the input, each thing once; with kStop the first file that is not used as it
// should be is an error.
class ProblemLog {
 public:
  explicit ProblemLog(OnBadInput on_bad_input) : on_bad_input_(on_bad_input) {}

  absl::Status Add(const Problem& problem) {
    if (!seen_.insert(ToString(problem)).second) return absl::OkStatus();
    problems_.push_back(problem);
    if (on_bad_input_ == OnBadInput::kSkip || problem.effect == Problem::Effect::kNote) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(ToString(problem));
  }
  absl::Status Note(const std::string& file, std::string what) {
    return Add({file, std::move(what), Problem::Effect::kNote});
  }
  std::vector<Problem> Take() { return std::move(problems_); }

 private:
  const OnBadInput on_bad_input_;
  std::set<std::string> seen_;
  std::vector<Problem> problems_;
};

}  // namespace hfwa::lab
