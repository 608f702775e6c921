// hfwa-eval: compares this program with the paper's and measures it on image sets.

#include <functional>
#include <iostream>
#include <memory>
#include <string>

#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "lab/eval/compare_command.h"
#include "lab/eval/run_command.h"
#include "lab/parity.h"
#include "lab/weights_check.h"

namespace {

int Fail(const absl::Status& status) {
  std::cerr << "hfwa-eval: " << status.message() << "\n";
  return 1;
}

struct ParityArguments {
  std::string folder;
  std::string precision = "fp32";
  hfwa::lab::ParityOptions options;
};

int RunParityCommand(ParityArguments& arguments) {
  auto precision = hfwa::model::ParsePrecision(arguments.precision);
  if (!precision.ok()) return Fail(precision.status());
  arguments.options.precision = *precision;
  const auto report = hfwa::lab::RunParity(arguments.folder, arguments.options);
  if (!report.ok()) return Fail(report.status());
  report->Print(std::cout);
  return report->ok() ? 0 : 1;
}

void AddParity(CLI::App& app, std::function<int()>& chosen) {
  auto arguments = std::make_shared<ParityArguments>();
  CLI::App* command =
      app.add_subcommand("parity", "Compare with a fixture folder, tensor by tensor");
  command->add_option("folder", arguments->folder, "Fixture folder")->required();
  command->add_option("--precision", arguments->precision, "fp32, bf16, fp16 or int8");
  command->add_option("--device", arguments->options.device, "cpu, cuda or cuda:N");
  command->callback(
      [arguments, &chosen] { chosen = [arguments] { return RunParityCommand(*arguments); }; });
}

struct WeightsCheckArguments {
  std::string model;
  std::string tokens;
};

void AddWeightsCheck(CLI::App& app, std::function<int()>& chosen) {
  auto arguments = std::make_shared<WeightsCheckArguments>();
  CLI::App* command = app.add_subcommand(
      "weights-check", "Compare a vision tower with what another program computes by its weights");
  command->add_option("model", arguments->model, "Model directory")->required();
  command->add_option("tokens", arguments->tokens, "Known tokens, such as tests/parity/towers/*")
      ->required();
  command->callback([arguments, &chosen] {
    chosen = [arguments] {
      const auto report = hfwa::lab::CheckWeightsOf(arguments->model, arguments->tokens, {});
      if (!report.ok()) return Fail(report.status());
      report->Print(std::cout);
      return report->ok() ? 0 : 1;
    };
  });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Parity with the paper's program, and measurements on image sets", "hfwa-eval");
  app.require_subcommand(1);
  int threads = 0;
  app.add_option("--threads", threads, "Threads of LibTorch; 0: one a core");
  std::function<int()> chosen;
  AddParity(app, chosen);
  hfwa::lab::AddRunCommands(app, chosen);
  hfwa::lab::AddCompareCommand(app, chosen);
  AddWeightsCheck(app, chosen);
  CLI11_PARSE(app, argc, argv);
  if (threads > 0) at::set_num_threads(threads);
  return chosen();
}
