#pragma once

#include <string>
#include <vector>

#include "lab/eval/results.h"
#include "lab/eval/summary.h"

namespace hfwa::lab {

// One page, whole by itself: tables; for each class at the largest number of references and the
// first draw ROC, PR and PRO curves, histograms of scores, best and worst images with their maps;
// problems.
std::string ToHtml(const EvaluationResult& result, const std::vector<Average>& averages);

}  // namespace hfwa::lab
