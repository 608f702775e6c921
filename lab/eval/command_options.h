#pragma once

// What the commands that evaluate have in common on their command lines.

#include <string>

#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "lab/eval/evaluation.h"

namespace hfwa::lab {

struct EvaluationArguments {
  EvaluationOptions options;
  std::string precision = "fp32";
  std::string sampling = "class";
  std::string on_bad_input = "stop";
  double memory_mib = 1536;
  double feature_memory_mib = 1024;
};

// All but data, model and methods.
void AddEvaluationOptions(CLI::App& command, EvaluationArguments& arguments);

// What was given as text, into `options`; progress goes to the terminal.
absl::Status ResolveOptions(EvaluationArguments& arguments);

// The same error, where it is a file's fault with the option that goes on without.
absl::Status WithAdvice(const absl::Status& error, const EvaluationOptions& options);

// Nothing to do without a path. UNAVAILABLE names the file.
absl::Status WriteFile(const std::string& path, const std::string& text);

// 0, or 1 and the message on the terminal.
int ExitStatus(const absl::Status& status);

}  // namespace hfwa::lab
