#include "client/cli/run.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <ostream>
#include <utility>

#include "client/cli/commands.h"
#include "client/cli/context.h"

namespace hfwa::cli {

void AddGlobalOptions(CLI::App& app, Context& context) {
  constexpr char kGroup[] = "Global options";
  app.add_option("--server", context.server, "The server; else HFWA_SERVER, else localhost:50051")
      ->type_name("HOST:PORT")
      ->group(kGroup);
  app.add_option("--deadline", context.deadline,
                 "For each call or file, such as 5, 500ms or 2m; default 30s")
      ->type_name("TIME")
      ->group(kGroup);
  app.add_flag("--tls", context.tls, "Encrypt, trusting the system's certificates")->group(kGroup);
  app.add_option("--ca", context.ca_file, "Encrypt, trusting the PEM certificates in this file")
      ->type_name("FILE")
      ->group(kGroup);
  app.add_flag("--json", context.json, "One JSON object a line")->group(kGroup);
  app.add_flag("--no-progress", context.no_progress, "No progress line")->group(kGroup);
}

int Run(std::vector<std::string> arguments, Terminal& terminal, std::stop_token interrupt) {
  Context context{.terminal = terminal, .interrupt = std::move(interrupt)};
  Action action;
  CLI::App app("Finds defects in pictures of manufactured parts, with an hfwa server", "hfwa");
  app.require_subcommand(1);
  AddGlobalOptions(app, context);
  app.get_option("--server")->envname("HFWA_SERVER");
  app.set_version_flag("--version", HFWA_VERSION);
  AddProductCommands(app, context, action);
  AddReferenceCommands(app, context, action);
  AddDetectCommand(app, context, action);
  AddWatchCommand(app, context, action);
  AddBenchCommand(app, context, action);
  AddModelAndHealthCommands(app, context, action);
  AddCompletionCommand(app, context, action);
  app.footer(
      "Examples:\n"
      "  hfwa product create bolt\n"
      "  hfwa reference add bolt good/\n"
      "  hfwa detect bolt part.jpg --out heatmaps/\n"
      "  hfwa watch bolt /srv/camera --json\n"
      "Exit codes: 0 done, 1 anomalous (with --exit-code), 2 something failed, 64 wrong usage,\n"
      "69 no server, 130 interrupted.");
  try {
    // CLI11 takes them from the back.
    std::reverse(arguments.begin(), arguments.end());
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    return app.exit(error, terminal.out, terminal.err) == 0 ? kOk : kUsage;
  }
  if (auto deadline = context.Deadline(); !deadline.ok()) {
    terminal.err << "hfwa: " << deadline.status().message() << "\n";
    return kUsage;
  }
  try {
    return action();
  } catch (const std::exception& error) {
    terminal.err << "hfwa: " << error.what() << "\n";
    return kFailed;
  }
}

}  // namespace hfwa::cli
