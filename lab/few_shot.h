#pragma once

// Few-shot measurement: K good references, each test image judged by its tokens' distance to
// theirs.

#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/model/hfwa.h"

namespace hfwa::lab {

struct FewShotOptions {
  std::string data;   // see ReadImageSet
  std::string model;  // model directory
  std::vector<int> shots = {1, 4};
  std::vector<int> seeds = {0, 1, 2};
  // "top1": mean of the largest hundredth of the level sum on the grid, as published baselines
  // score. "max": largest value of that sum. "paper": SOWA's offline score (HFWA spec 7), the mean
  // of language probability and largest value of the combined map scaled over the test set; without
  // language the latter alone. "service": the online score (docs/scoring.md), with the share of
  // images that its default threshold calls anomalous.
  std::vector<std::string> scores = {"top1", "paper", "service"};
  // Of the references' rows that are matched against (core/bank/coreset.h); one table each.
  std::vector<double> coreset_ratios = {1};
  model::HfwaOptions hfwa;
};

// Prints image AUROC in percent by kind of defect, mean and deviation over seeds. Each image is
// encoded once. The references of a seed are the first K of random.Random(seed).sample(pool,
// largest K, at least 4).
absl::Status RunFewShot(const FewShotOptions& options, std::ostream& out);

}  // namespace hfwa::lab
