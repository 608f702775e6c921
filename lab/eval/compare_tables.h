#pragma once

#include <string>
#include <vector>

#include "lab/eval/compare.h"
#include "lab/eval/table.h"

namespace hfwa::lab {

// In the shape of the paper's tables: for each number of references the metrics by data set against
// methods (its Table 1), then methods against data sets at the largest number (Table
// 2), then for each data set methods with all numbers of references, every metric and the time an
// image takes (Figure 9).
std::vector<Table> MakeTables(const Comparison& comparison);

// What was not compared, a line each with the reason.
std::vector<std::string> MissingLines(const Comparison& comparison);

// Fractions and seconds, a row a method, number of references and data set.
std::string ToCsv(const Comparison& comparison);
// The same with what it is made of: each run as `hfwa-eval run --json` has it.
std::string ToJson(const Comparison& comparison);

}  // namespace hfwa::lab
