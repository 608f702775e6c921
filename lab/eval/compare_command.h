#pragma once

#include <functional>

#include <CLI/CLI.hpp>

namespace hfwa::lab {

// Adds the command `compare`. When it is chosen, `chosen` becomes what runs it and gives the exit
// status.
void AddCompareCommand(CLI::App& app, std::function<int()>& chosen);

}  // namespace hfwa::lab
