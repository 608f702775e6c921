#include "lab/eval/command_options.h"

#include <fstream>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "lab/data/references.h"

namespace hfwa::lab {

void AddEvaluationOptions(CLI::App& command, EvaluationArguments& arguments) {
  EvaluationOptions& options = arguments.options;
  command.add_option("--classes", options.classes, "Only these classes")->delimiter(',');
  command.add_option("--shots", options.shots, "Numbers of references; 0 is zero-shot")
      ->delimiter(',')
      ->capture_default_str();
  command.add_option("--seeds", options.seeds, "Draws of references")->capture_default_str();
  command.add_option("--first-seed", options.first_seed, "Seed of the first draw")
      ->capture_default_str();
  command
      .add_option(
          "--sampling", arguments.sampling,
          "class: each class draws by itself; python: as the paper's program, one generator "
          "over all classes asked for")
      ->check(CLI::IsMember({"class", "python"}))
      ->capture_default_str();
  command
      .add_option("--coreset-ratio", options.coreset_ratio,
                  "Share of the references' patches that hfwa keeps, as a product's")
      ->capture_default_str();
  command
      .add_option("--on-bad-input", arguments.on_bad_input,
                  "stop at the first file that cannot be used, or skip it and name it")
      ->check(CLI::IsMember({"stop", "skip"}))
      ->capture_default_str();
  command.add_option("--memory", arguments.memory_mib, "MiB for pixels; more goes to a file")
      ->capture_default_str();
  command
      .add_option("--feature-memory", arguments.feature_memory_mib,
                  "MiB for a class's features; more goes to a file")
      ->capture_default_str();
  command.add_option("--scratch", options.scratch, "Folder for such files");
  command.add_option("--precision", arguments.precision, "fp32, bf16, fp16 or int8");
  command.add_option("--device", options.hfwa.device, "cpu, cuda or cuda:N");
}

absl::Status ResolveOptions(EvaluationArguments& arguments) {
  EvaluationOptions& options = arguments.options;
  HFWA_ASSIGN_OR_RETURN(options.hfwa.precision, model::ParsePrecision(arguments.precision));
  HFWA_ASSIGN_OR_RETURN(options.sampling, ParseSampling(arguments.sampling));
  options.on_bad_input = arguments.on_bad_input == "skip" ? OnBadInput::kSkip : OnBadInput::kStop;
  options.memory_bytes = static_cast<size_t>(arguments.memory_mib * (1 << 20));
  options.feature_memory_bytes = static_cast<size_t>(arguments.feature_memory_mib * (1 << 20));
  options.progress = [](const std::string& text) { std::cerr << text << std::endl; };
  return absl::OkStatus();
}

absl::Status WithAdvice(const absl::Status& error, const EvaluationOptions& options) {
  if (options.on_bad_input == OnBadInput::kSkip ||
      !absl::StrContains(error.message(), "left out)")) {
    return error;
  }
  return absl::Status(error.code(),
                      absl::StrCat(error.message(), "; --on-bad-input skip goes on without"));
}

absl::Status WriteFile(const std::string& path, const std::string& text) {
  if (path.empty()) return absl::OkStatus();
  std::ofstream file(path, std::ios::binary);
  if (!file.write(text.data(), static_cast<std::streamsize>(text.size())).flush()) {
    return absl::UnavailableError(absl::StrCat("cannot write ", path));
  }
  return absl::OkStatus();
}

int ExitStatus(const absl::Status& status) {
  if (status.ok()) return 0;
  std::cerr << "hfwa-eval: " << status.message() << "\n";
  return 1;
}

}  // namespace hfwa::lab
