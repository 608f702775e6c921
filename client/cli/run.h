#pragma once

#include <iosfwd>
#include <stop_token>
#include <string>
#include <vector>

namespace hfwa::cli {

// Exit codes of the command.
enum ExitCode : int {
  kOk = 0,
  kAnomalous = 1,  // Only with --exit-code.
  kFailed = 2,     // The request, or some of the files.
  kUsage = 64,
  kUnavailable = 69,
  kInterrupted = 130,
};

// Where a command writes. `color` and `progress` are what the terminals bear; options can still
// turn them off.
struct Terminal {
  std::ostream& out;
  std::ostream& err;
  bool color = false;     // of `out`
  bool progress = false;  // of `err`
};

// Runs `hfwa ARGUMENTS...` (without the program's name) and returns its exit code. A requested stop
// on `interrupt` is Ctrl-C.
int Run(std::vector<std::string> arguments, Terminal& terminal, std::stop_token interrupt);

}  // namespace hfwa::cli
