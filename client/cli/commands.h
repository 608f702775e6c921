#pragma once

// The commands; each adds itself under `parent` and sets `action` when it was chosen.

#include <CLI/CLI.hpp>
#include <functional>

#include "client/cli/context.h"

namespace hfwa::cli {

// What the command line chose; returns the exit code.
using Action = std::function<int()>;

// The options that every command takes, after its own name as well as before it.
void AddGlobalOptions(CLI::App& app, Context& context);

void AddProductCommands(CLI::App& parent, Context& context, Action& action);
void AddReferenceCommands(CLI::App& parent, Context& context, Action& action);
void AddDetectCommand(CLI::App& parent, Context& context, Action& action);
void AddWatchCommand(CLI::App& parent, Context& context, Action& action);
void AddBenchCommand(CLI::App& parent, Context& context, Action& action);
void AddModelAndHealthCommands(CLI::App& parent, Context& context, Action& action);
void AddCompletionCommand(CLI::App& parent, Context& context, Action& action);

// For detect and watch: the product must exist and `out`, if given, becomes a folder. Returns an
// exit code; prints what is wrong.
int PrepareJudging(const Context& context, client::Client& client, const std::string& product,
                   const std::string& out);

}  // namespace hfwa::cli
