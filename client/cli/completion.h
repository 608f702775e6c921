#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace hfwa::cli {

// Scripts that complete the command line of `app` (its subcommands, theirs, and all long options),
// made from the command tree itself.
std::string BashCompletion(const CLI::App& app);
std::string ZshCompletion(const CLI::App& app);
std::string FishCompletion(const CLI::App& app);

}  // namespace hfwa::cli
