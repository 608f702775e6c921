#pragma once

#include <string>

#include "client/bench/report.h"

namespace hfwa::cli {

// The report of `bench` for a terminal.
std::string BenchTable(const bench::Report& report);

// One line about a run of a search: "  12.5/s  p99   140.2 ms  0 failed    passed".
std::string ProbeLine(const bench::Probe& probe);

}  // namespace hfwa::cli
