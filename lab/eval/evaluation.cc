#include "lab/eval/evaluation.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"
#include "core/model/torch_errors.h"
#include "lab/data/duplicates.h"
#include "lab/eval/class_run.h"
#include "lab/eval/problem_log.h"
#include "lab/eval/seconds.h"

namespace hfwa::lab {
namespace {

class Evaluation {
 public:
  explicit Evaluation(const EvaluationOptions& options)
      : options_(options), log_(options.on_bad_input) {}

  absl::StatusOr<EvaluationResult> Run() {
    const double start = Seconds();
    HFWA_RETURN_IF_ERROR(Check());
    HFWA_RETURN_IF_ERROR(ReadData());
    HFWA_RETURN_IF_ERROR(ReadModel());
    for (size_t i = 0; !methods_.empty() && i < set_.classes.size(); ++i) {
      HFWA_RETURN_IF_ERROR(RunClass(i));
    }
    Describe(Seconds() - start);
    return std::move(result_);
  }

 private:
  absl::Status Check() const;
  absl::Status ReadData();
  absl::Status KeepAskedClasses();
  absl::Status ReadModel();
  std::vector<ClassRun::Draw> Draws(size_t index) const;
  absl::Status RunClass(size_t index);
  void Describe(double seconds);

  const EvaluationOptions& options_;
  ProblemLog log_;
  DataSet set_;
  Draw listed_;  // where references come from a list
  std::unique_ptr<model::Hfwa> hfwa_;
  std::vector<std::unique_ptr<Method>> methods_;
  EvaluationResult result_;
};

absl::Status Evaluation::Check() const {
  if (options_.shots.empty() || options_.methods.empty()) {
    return absl::InvalidArgumentError("at least one number of shots and one method are needed");
  }
  if (std::set<int>(options_.shots.begin(), options_.shots.end()).size() != options_.shots.size()) {
    return absl::InvalidArgumentError("numbers of shots must differ");
  }
  for (const int shots : options_.shots) {
    if (shots < 0) return absl::InvalidArgumentError("shots must not be negative");
  }
  if (options_.seeds < 1 || options_.first_seed < 0) {
    return absl::InvalidArgumentError("there must be a seed, and none may be negative");
  }
  if (!(options_.coreset_ratio > 0 && options_.coreset_ratio <= 1)) {
    return absl::InvalidArgumentError("the coreset ratio must be more than 0 and at most 1");
  }
  return absl::OkStatus();
}

absl::Status Evaluation::ReadData() {
  HFWA_ASSIGN_OR_RETURN(set_, ReadDataSet(options_.data));
  HFWA_RETURN_IF_ERROR(KeepAskedClasses());
  DropDuplicates(set_);
  for (const Problem& problem : set_.problems) HFWA_RETURN_IF_ERROR(log_.Add(problem));
  if (options_.references.empty()) return absl::OkStatus();
  HFWA_ASSIGN_OR_RETURN(listed_, ReadReferenceList(set_, options_.references));
  return absl::OkStatus();
}

absl::Status Evaluation::KeepAskedClasses() {
  if (options_.classes.empty()) return absl::OkStatus();
  std::vector<ItemClass> kept;
  for (const std::string& name : options_.classes) {
    const auto found = std::find_if(set_.classes.begin(), set_.classes.end(),
                                    [&](const ItemClass& of) { return of.name == name; });
    if (found == set_.classes.end()) {
      return absl::InvalidArgumentError(absl::StrCat("the set has no class '", name, "'"));
    }
    kept.push_back(*found);
  }
  set_.classes = std::move(kept);
  return absl::OkStatus();
}

absl::Status Evaluation::ReadModel() {
  HFWA_ASSIGN_OR_RETURN(const model::ModelFiles files, model::ReadModelDirectory(options_.model));
  HFWA_ASSIGN_OR_RETURN(hfwa_, model::Hfwa::Create(files, options_.hfwa));
  for (const std::string& name : options_.methods) {
    auto method = MakeMethod(name, {.hfwa = *hfwa_,
                                    .files = files,
                                    .directory = options_.model,
                                    .coreset_ratio = options_.coreset_ratio});
    if (options_.skip_unfit_methods && absl::IsFailedPrecondition(method.status())) {
      result_.unfit_methods.push_back({name, std::string(method.status().message())});
      continue;
    }
    HFWA_RETURN_IF_ERROR(method.status());
    methods_.push_back(*std::move(method));
    result_.methods.push_back(name);
  }
  return absl::OkStatus();
}

// Zero shots and a list give one draw each.
std::vector<ClassRun::Draw> Evaluation::Draws(size_t index) const {
  std::vector<ClassRun::Draw> draws;
  for (const int shots : options_.shots) {
    if (shots > 0 && !options_.references.empty()) {
      std::vector<int> first = listed_[index];
      if (first.size() > static_cast<size_t>(shots)) first.resize(static_cast<size_t>(shots));
      draws.push_back({shots, options_.first_seed, std::move(first)});
      continue;
    }
    for (int i = 0; i < (shots == 0 ? 1 : options_.seeds); ++i) {
      const int seed = options_.first_seed + i;
      draws.push_back(
          {shots, seed,
           DrawReferences(set_, shots, static_cast<uint32_t>(seed), options_.sampling)[index]});
    }
  }
  return draws;
}

absl::Status Evaluation::RunClass(size_t index) {
  const ItemClass& of = set_.classes[index];
  const double start = Seconds();
  ClassRun run(set_, of, *hfwa_, methods_, options_, log_);
  HFWA_RETURN_IF_ERROR(run.Load());
  result_.subject.images += run.images();
  const double encoded = Seconds();
  const std::vector<ClassRun::Draw> draws = Draws(index);
  const int most = *std::max_element(options_.shots.begin(), options_.shots.end());
  for (const auto& method : methods_) {
    bool drawn = options_.pictures <= 0;
    for (const ClassRun::Draw& draw : draws) {
      HFWA_ASSIGN_OR_RETURN(Measurement measurement, run.Measure(*method, draw));
      if (!drawn && draw.shots == most && measurement.missing.empty()) {
        HFWA_ASSIGN_OR_RETURN(ClassPictures pictures, run.DrawPictures(*method, draw, measurement));
        result_.pictures.push_back(std::move(pictures));
        drawn = true;
      }
      result_.measurements.push_back(std::move(measurement));
    }
  }
  result_.classes.push_back(of.name);
  options_.progress(
      absl::StrFormat("class %d of %d, %s: %d images encoded in %.1f s, %d draws in %.1f s",
                      index + 1, set_.classes.size(), of.name, run.images(), encoded - start,
                      draws.size(), Seconds() - encoded));
  return absl::OkStatus();
}

void Evaluation::Describe(double seconds) {
  Subject& subject = result_.subject;
  subject.data = options_.data;
  subject.layout = set_.layout;
  subject.model = options_.model;
  subject.digest = hfwa_->digest();
  subject.device = options_.hfwa.device;
  subject.precision = std::string(model::PrecisionName(options_.hfwa.precision));
  subject.sampling = !options_.references.empty()             ? "listed"
                     : options_.sampling == Sampling::kPython ? "python"
                                                              : "class";
  subject.shots = options_.shots;
  for (int i = 0; i < (options_.references.empty() ? options_.seeds : 1); ++i) {
    subject.seeds.push_back(options_.first_seed + i);
  }
  subject.seconds = seconds;
  result_.problems = log_.Take();
}

}  // namespace

absl::StatusOr<EvaluationResult> Evaluate(const EvaluationOptions& options) {
  return model::CatchTorchErrors([&] { return Evaluation(options).Run(); });
}

}  // namespace hfwa::lab
