#include "lab/eval/run_command.h"

#include <iostream>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "lab/data/data_set.h"
#include "lab/data/duplicates.h"
#include "lab/eval/command_options.h"
#include "lab/eval/evaluation.h"
#include "lab/eval/method.h"
#include "lab/eval/output.h"
#include "lab/eval/report_html.h"
#include "lab/eval/summary.h"
#include "lab/eval/table.h"

namespace hfwa::lab {
namespace {

// Of the report.
constexpr int kCurvePoints = 400;
constexpr int kPictures = 4;

struct RunArguments {
  EvaluationArguments evaluation;
  std::string json, csv, html;
};

absl::Status Run(RunArguments& arguments) {
  EvaluationOptions& options = arguments.evaluation.options;
  HFWA_RETURN_IF_ERROR(ResolveOptions(arguments.evaluation));
  if (!arguments.html.empty()) {
    options.curve_points = kCurvePoints;
    options.pictures = kPictures;
  }
  const auto evaluated = Evaluate(options);
  if (!evaluated.ok()) return WithAdvice(evaluated.status(), options);
  const EvaluationResult& result = *evaluated;
  const std::vector<Row> rows = ToRows(result);
  const std::vector<Average> averages = Averages(rows);
  PrintTables(result, averages, std::cout);
  HFWA_RETURN_IF_ERROR(WriteFile(arguments.json, ToJson(result, rows, averages)));
  HFWA_RETURN_IF_ERROR(WriteFile(arguments.csv, ToCsv(rows)));
  if (!arguments.html.empty()) {
    HFWA_RETURN_IF_ERROR(WriteFile(arguments.html, ToHtml(result, averages)));
  }
  if (rows.empty()) return absl::FailedPreconditionError("nothing was measured");
  return absl::OkStatus();
}

absl::Status ShowData(const std::string& folder, const std::string& meta) {
  HFWA_ASSIGN_OR_RETURN(DataSet set, ReadDataSet(folder));
  DropDuplicates(set);
  std::cout << folder << ": " << set.layout << "\n";
  for (const ItemClass& of : set.classes) {
    size_t references = 0, defects = 0, masks = 0;
    for (const Item& item : of.train) references += item.anomalous ? 0 : 1;
    for (const Item& item : of.test) {
      defects += item.anomalous ? 1 : 0;
      masks += item.anomalous && !item.mask.empty() ? 1 : 0;
    }
    std::cout << of.name << ": " << references << " normal to train with, tests "
              << of.test.size() - defects << " good, " << defects << " defective, " << masks
              << " masks\n";
  }
  for (const Problem& problem : set.problems) std::cout << "problem: " << ToString(problem) << "\n";
  return WriteFile(meta, ToMetaJson(set));
}

void AddOptions(CLI::App& command, RunArguments& arguments) {
  EvaluationOptions& options = arguments.evaluation.options;
  command
      .add_option("--data", options.data,
                  "Folder with meta.json, MVTec's folders, or good/ and others")
      ->required();
  command.add_option("--model", options.model, "Model directory")->required();
  command
      .add_option("--method", options.methods,
                  absl::StrCat("Methods to compare: ", absl::StrJoin(MethodNames(), ", ")))
      ->delimiter(',');
  AddEvaluationOptions(command, arguments.evaluation);
  command.add_option("--references", options.references,
                     "File that lists references, one path of the set a line, instead of draws");
  command.add_flag("!--no-sizes", options.sizes, "Not by size of the defect");
  command.add_flag("!--no-kinds", options.kinds, "Not by kind of the defect");
  command.add_flag("!--no-levels", options.levels, "Not by level of the model");
  command.add_option("--json", arguments.json, "Writes everything here");
  command.add_option("--csv", arguments.csv, "Writes a row a measurement here");
  command.add_option("--html", arguments.html, "Writes a report with curves and pictures here");
}

}  // namespace

void AddRunCommands(CLI::App& app, std::function<int()>& chosen) {
  auto arguments = std::make_shared<RunArguments>();
  CLI::App* run = app.add_subcommand("run", "Measure a model on a data set");
  AddOptions(*run, *arguments);
  run->callback(
      [arguments, &chosen] { chosen = [arguments] { return ExitStatus(Run(*arguments)); }; });

  auto folder = std::make_shared<std::string>();
  auto meta = std::make_shared<std::string>();
  CLI::App* data =
      app.add_subcommand("data", "Say what a data set holds and what is wrong with it");
  data->add_option("folder", *folder, "The set")->required();
  data->add_option("--meta", *meta, "Writes it as a meta.json here");
  data->callback([folder, meta, &chosen] {
    chosen = [folder, meta] { return ExitStatus(ShowData(*folder, *meta)); };
  });
}

}  // namespace hfwa::lab
