#pragma once

#include <functional>

#include <CLI/CLI.hpp>

namespace hfwa::lab {

// `hfwa-eval run` and `hfwa-eval data`; `chosen` becomes what to do, and gives the exit status.
void AddRunCommands(CLI::App& app, std::function<int()>& chosen);

}  // namespace hfwa::lab
