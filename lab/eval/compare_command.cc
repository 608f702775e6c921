#include "lab/eval/compare_command.h"

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "lab/eval/command_options.h"
#include "lab/eval/compare.h"
#include "lab/eval/compare_html.h"
#include "lab/eval/compare_tables.h"
#include "lab/eval/method.h"

namespace hfwa::lab {
namespace {

struct CompareArguments {
  EvaluationArguments evaluation;
  std::vector<std::string> data, methods, entries;
  std::string model;
  std::string json, csv, html;
};

absl::StatusOr<CompareOptions> ToOptions(CompareArguments& arguments) {
  HFWA_RETURN_IF_ERROR(ResolveOptions(arguments.evaluation));
  CompareOptions options = {.data = {}, .entries = {}, .evaluation = arguments.evaluation.options};
  for (const std::string& text : arguments.data) {
    HFWA_ASSIGN_OR_RETURN(NamedData data, ParseData(text));
    options.data.push_back(std::move(data));
  }
  std::vector<std::string> methods = arguments.methods;
  if (methods.empty() && arguments.entries.empty()) methods = MethodNames();
  for (const std::string& method : methods) {
    HFWA_ASSIGN_OR_RETURN(Entry entry,
                          ParseEntry(absl::StrCat(method, "=", method), arguments.model));
    options.entries.push_back(std::move(entry));
  }
  for (const std::string& text : arguments.entries) {
    HFWA_ASSIGN_OR_RETURN(Entry entry, ParseEntry(text, arguments.model));
    options.entries.push_back(std::move(entry));
  }
  return options;
}

absl::Status RunCompare(CompareArguments& arguments) {
  HFWA_ASSIGN_OR_RETURN(const CompareOptions options, ToOptions(arguments));
  const auto compared = Compare(options);
  if (!compared.ok()) return WithAdvice(compared.status(), options.evaluation);
  const Comparison& comparison = *compared;
  for (const Table& table : MakeTables(comparison)) PrintTable(table, std::cout);
  for (const std::string& line : MissingLines(comparison)) std::cout << line << "\n";
  for (const EvaluationResult& run : comparison.runs) {
    for (const Problem& problem : run.problems) {
      std::cout << "problem: " << run.subject.data << ": " << ToString(problem) << "\n";
    }
  }
  HFWA_RETURN_IF_ERROR(WriteFile(arguments.json, ToJson(comparison)));
  HFWA_RETURN_IF_ERROR(WriteFile(arguments.csv, ToCsv(comparison)));
  if (!arguments.html.empty()) {
    HFWA_RETURN_IF_ERROR(WriteFile(arguments.html, ToHtml(comparison)));
  }
  if (comparison.rows.empty()) return absl::FailedPreconditionError("nothing was compared");
  return absl::OkStatus();
}

}  // namespace

void AddCompareCommand(CLI::App& app, std::function<int()>& chosen) {
  auto arguments = std::make_shared<CompareArguments>();
  CLI::App* command =
      app.add_subcommand("compare", "Methods side by side on data sets, as the paper's tables");
  command->add_option("--data", arguments->data, "NAME=FOLDER, or folders; several by commas")
      ->delimiter(',')
      ->required();
  command->add_option("--model", arguments->model, "Model directory of what names no other");
  command
      ->add_option("--method", arguments->methods,
                   absl::StrCat("With that model; without any method or entry all: ",
                                absl::StrJoin(MethodNames(), ", ")))
      ->delimiter(',');
  command->add_option("--entry", arguments->entries,
                      "LABEL=METHOD@MODEL: a method on another model; once for each");
  AddEvaluationOptions(*command, arguments->evaluation);
  command->add_option("--json", arguments->json, "Writes everything here");
  command->add_option("--csv", arguments->csv, "Writes a row a method, number and set here");
  command->add_option("--html", arguments->html, "Writes a report with charts here");
  command->callback([arguments, &chosen] {
    chosen = [arguments] { return ExitStatus(RunCompare(*arguments)); };
  });
}

}  // namespace hfwa::lab
