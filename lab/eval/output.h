#pragma once

#include <string>
#include <vector>

#include "lab/eval/results.h"
#include "lab/eval/summary.h"

namespace hfwa::lab {

// All there is, for programs: subject, rows, averages, references of each draw, problems.
// Fractions; what is undefined is {"undefined": WHY}.
std::string ToJson(const EvaluationResult& result, const std::vector<Row>& rows,
                   const std::vector<Average>& averages);

// The rows, with a head; fractions, "n/a" for what is undefined, nothing for what a row does not
// have.
std::string ToCsv(const std::vector<Row>& rows);
// Quoted where it has to be.
std::string CsvCell(const std::string& text);

}  // namespace hfwa::lab
