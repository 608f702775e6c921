#include "lab/eval/compare.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "lab/metrics/statistics.h"

namespace hfwa::lab {
namespace {

template <typename T>
absl::Status CheckNames(const std::vector<T>& named, std::string T::*name, const char* what) {
  std::set<std::string> seen;
  for (const T& of : named) {
    if (!seen.insert(of.*name).second) {
      return absl::InvalidArgumentError(absl::StrCat(what, " '", of.*name, "' occurs twice"));
    }
  }
  if (named.empty()) return absl::InvalidArgumentError(absl::StrCat("no ", what));
  return absl::OkStatus();
}

// Once each, in their order.
std::vector<std::string> Models(const std::vector<Entry>& entries) {
  std::vector<std::string> models;
  for (const Entry& entry : entries) {
    if (std::find(models.begin(), models.end(), entry.model) == models.end()) {
      models.push_back(entry.model);
    }
  }
  return models;
}

// Fills in what the averages of one run say of a method.
void FillIn(const std::vector<Average>& averages, const std::string& method, Compared& row) {
  for (const Average& average : averages) {
    if (average.method != method || average.shots != row.shots || average.subset != "all" ||
        !average.class_name.empty()) {
      continue;
    }
    if (row.values.empty()) row.values = average.values;
    if (average.scoring == "service") {
      row.service_auroc = average.values[static_cast<size_t>(Column::kImageAuroc)];
    }
  }
}

void AddTimes(const EvaluationResult& run, const std::string& method, Compared& row) {
  std::vector<double> image, fit;
  for (const Measurement& of : run.measurements) {
    if (of.method != method || of.shots != row.shots || !of.missing.empty()) continue;
    image.push_back(of.time.encode + of.time.judge);
    fit.push_back(of.time.fit);
  }
  if (image.empty()) return;
  row.image_seconds = Mean(image);
  row.fit_seconds = Mean(fit);
}

// Why a method has no number: the first reason that a class gives.
std::string Reason(const EvaluationResult& run, const std::string& method, int shots) {
  for (const Measurement& of : run.measurements) {
    if (of.method == method && of.shots == shots && !of.missing.empty()) return of.missing;
  }
  return "nothing was measured";
}

void AddRun(const EvaluationResult& run, size_t data, const std::string& model,
            Comparison& comparison) {
  const std::vector<Average> averages = Averages(ToRows(run));
  for (size_t e = 0; e < comparison.entries.size(); ++e) {
    const Entry& entry = comparison.entries[e];
    if (entry.model != model) continue;
    const auto unfit = std::find_if(run.unfit_methods.begin(), run.unfit_methods.end(),
                                    [&](const auto& of) { return of.method == entry.method; });
    if (unfit != run.unfit_methods.end()) {
      comparison.missing.push_back({e, data, std::nullopt, unfit->reason});
      continue;
    }
    for (const int shots : comparison.shots) {
      Compared row = {.entry = e, .data = data, .shots = shots, .values = {}, .service_auroc = {}};
      FillIn(averages, entry.method, row);
      if (row.values.empty()) {
        comparison.missing.push_back({e, data, shots, Reason(run, entry.method, shots)});
        continue;
      }
      AddTimes(run, entry.method, row);
      comparison.rows.push_back(std::move(row));
    }
  }
}

std::optional<Spread> MeanOf(const std::vector<std::optional<Spread>>& values) {
  std::vector<double> means;
  Spread mean;
  for (const std::optional<Spread>& value : values) {
    if (!value.has_value()) return std::nullopt;
    if (value->undefined.empty()) {
      means.push_back(value->mean);
    } else {
      mean.undefined = value->undefined;
    }
  }
  if (means.empty()) return mean;
  mean.undefined.clear();
  mean.mean = Mean(means);
  mean.draws = 1;  // deviations of different sets have no common meaning
  return mean;
}

// Over the sets, where all of them have a row.
void AddMeans(Comparison& comparison) {
  const size_t sets = comparison.data.size();
  for (size_t e = 0; sets > 1 && e < comparison.entries.size(); ++e) {
    for (const int shots : comparison.shots) {
      std::vector<const Compared*> rows;
      for (size_t d = 0; d < sets; ++d) {
        if (const Compared* row = Find(comparison, d, e, shots)) rows.push_back(row);
      }
      if (rows.size() < sets) continue;
      Compared mean = {
          .entry = e, .data = std::nullopt, .shots = shots, .values = {}, .service_auroc = {}};
      for (size_t c = 0; c < kColumns; ++c) {
        std::vector<std::optional<Spread>> values;
        values.reserve(rows.size());
        for (const Compared* row : rows) values.push_back(row->values[c]);
        mean.values.push_back(MeanOf(values));
      }
      std::vector<std::optional<Spread>> service;
      service.reserve(rows.size());
      for (const Compared* row : rows) {
        service.push_back(row->service_auroc);
        mean.image_seconds += row->image_seconds / static_cast<double>(sets);
        mean.fit_seconds += row->fit_seconds / static_cast<double>(sets);
      }
      mean.service_auroc = MeanOf(service);
      comparison.rows.push_back(std::move(mean));
    }
  }
}

void Sort(Comparison& comparison) {
  const auto key = [&](const Compared& row) {
    return std::tuple(row.data.value_or(comparison.data.size()), row.entry,
                      std::find(comparison.shots.begin(), comparison.shots.end(), row.shots));
  };
  std::stable_sort(comparison.rows.begin(), comparison.rows.end(),
                   [&](const Compared& a, const Compared& b) { return key(a) < key(b); });
}

}  // namespace

absl::StatusOr<NamedData> ParseData(const std::string& text) {
  const size_t sign = text.find('=');
  NamedData data = {.name = sign == std::string::npos ? "" : text.substr(0, sign),
                    .folder = sign == std::string::npos ? text : text.substr(sign + 1)};
  if (sign == std::string::npos) {
    std::filesystem::path path = std::filesystem::path(data.folder).lexically_normal();
    if (path.filename().empty()) path = path.parent_path();
    data.name = path.filename().string();
  }
  if (data.name.empty() || data.folder.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("data '", text, "' is not NAME=FOLDER"));
  }
  return data;
}

absl::StatusOr<Entry> ParseEntry(const std::string& text, const std::string& default_model) {
  const size_t sign = text.find('='), at = text.find('@', sign == std::string::npos ? 0 : sign);
  if (sign == std::string::npos || sign == 0) {
    return absl::InvalidArgumentError(absl::StrCat("entry '", text, "' is not LABEL=METHOD@MODEL"));
  }
  Entry entry = {.label = text.substr(0, sign),
                 .method = text.substr(sign + 1, at == std::string::npos ? at : at - sign - 1),
                 .model = at == std::string::npos ? default_model : text.substr(at + 1)};
  if (entry.method.empty() || entry.model.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("entry '", text, "' names no ", entry.method.empty() ? "method" : "model"));
  }
  return entry;
}

absl::StatusOr<Comparison> Compare(const CompareOptions& options) {
  HFWA_RETURN_IF_ERROR(CheckNames(options.data, &NamedData::name, "data set"));
  HFWA_RETURN_IF_ERROR(CheckNames(options.entries, &Entry::label, "entry"));
  Comparison comparison = {.data = options.data,
                           .entries = options.entries,
                           .shots = options.evaluation.shots,
                           .rows = {},
                           .missing = {},
                           .runs = {}};
  const std::vector<std::string> models = Models(options.entries);
  for (size_t d = 0; d < options.data.size(); ++d) {
    for (const std::string& model : models) {
      EvaluationOptions run = options.evaluation;
      run.data = options.data[d].folder;
      run.model = model;
      run.methods.clear();
      run.skip_unfit_methods = true;
      run.sizes = run.kinds = run.levels = false;
      for (const Entry& entry : options.entries) {
        if (entry.model == model &&
            std::find(run.methods.begin(), run.methods.end(), entry.method) == run.methods.end()) {
          run.methods.push_back(entry.method);
        }
      }
      run.progress(absl::StrCat(options.data[d].name, " with ", model));
      HFWA_ASSIGN_OR_RETURN(EvaluationResult result, Evaluate(run));
      AddRun(result, d, model, comparison);
      comparison.runs.push_back(std::move(result));
    }
  }
  AddMeans(comparison);
  Sort(comparison);
  return comparison;
}

const Compared* Find(const Comparison& comparison, std::optional<size_t> data, size_t entry,
                     int shots) {
  const auto found =
      std::find_if(comparison.rows.begin(), comparison.rows.end(), [&](const Compared& row) {
        return row.data == data && row.entry == entry && row.shots == shots;
      });
  return found == comparison.rows.end() ? nullptr : &*found;
}

}  // namespace hfwa::lab
