#pragma once

#include <string>
#include <vector>

#include "lab/eval/results.h"
#include "lab/eval/summary.h"
#include "lab/eval/table.h"

namespace hfwa::lab {

// One page, whole by itself: tables; for each class at the largest number of references and the
// first draw ROC, PR and PRO curves, histograms of scores, best and worst images with their maps;
// problems.
std::string ToHtml(const EvaluationResult& result, const std::vector<Average>& averages);

// A heading, the table and its notes, to put into a page.
std::string ToHtml(const Table& table);

}  // namespace hfwa::lab
