#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "lab/eval/results.h"
#include "lab/eval/summary.h"

namespace hfwa::lab {

// Tables for a terminal: classes, the service's scoring, sizes of defects, levels, problems.
void PrintTables(const EvaluationResult& result, const std::vector<Average>& averages,
                 std::ostream& out);

// "75.2 ± 1.2" in percent, without the deviation where there is one draw; "n/a" where undefined,
// "" where there is nothing to say.
std::string ToText(const std::optional<Spread>& spread);

// One table of averages, as text cells, for terminal and page alike.
struct Table {
  std::string title;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> notes;  // why cells are n/a
};
std::vector<Table> MakeTables(const EvaluationResult& result, const std::vector<Average>& averages);

void PrintTable(const Table& table, std::ostream& out);

}  // namespace hfwa::lab
