#include <algorithm>
#include <filesystem>
#include <map>
#include <string>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/safetensors.h"
#include "lab/fixture.h"
#include "lab/metrics/pixel_meter.h"
#include "lab/metrics/score_metrics.h"
#include "lab/metrics/statistics.h"
#include "lab/parity.h"

namespace hfwa::lab {
namespace {

namespace fs = std::filesystem;

// One test set: maps [n, h, w], masks [n, h, w], labels [n], image_scores [n].
struct Case {
  at::Tensor maps, masks, labels, scores;
};

absl::StatusOr<Case> ReadCase(const fs::path& path) {
  HFWA_ASSIGN_OR_RETURN(Tensors tensors, model::ReadAllTensors(path.string()));
  for (const char* name : {"maps", "masks", "labels", "image_scores"}) {
    if (tensors.count(name) == 0) {
      return absl::InvalidArgumentError(absl::StrCat(path.string(), " has no ", name));
    }
  }
  Case read = {tensors["maps"].to(at::kFloat).contiguous(),
               tensors["masks"].to(at::kByte).contiguous(),
               tensors["labels"].to(at::kByte).contiguous(),
               tensors["image_scores"].to(at::kFloat).contiguous()};
  const int64_t n = read.labels.numel();
  if (read.maps.dim() != 3 || read.maps.size(0) != n || read.scores.numel() != n ||
      read.masks.sizes() != read.maps.sizes()) {
    return absl::InvalidArgumentError(absl::StrCat(path.string(), ": shapes disagree"));
  }
  return read;
}

absl::StatusOr<PixelMetrics> MeasurePixels(const Case& read, int connectivity) {
  PixelMeter meter({.reference_protocol = true, .connectivity = connectivity, .scratch = ""});
  const auto pixels = static_cast<size_t>(read.maps.size(1) * read.maps.size(2));
  for (int64_t i = 0; i < read.maps.size(0); ++i) {
    HFWA_RETURN_IF_ERROR(meter.Add({read.maps[i].const_data_ptr<float>(), pixels},
                                   {read.masks[i].const_data_ptr<uint8_t>(), pixels},
                                   static_cast<int>(read.maps.size(2)),
                                   static_cast<int>(read.maps.size(1))));
  }
  return meter.Finish();
}

absl::Span<const uint8_t> Labels(const Case& read) {
  return {read.labels.const_data_ptr<uint8_t>(), static_cast<size_t>(read.labels.numel())};
}

// What one fixture says of its metrics, compared with what was computed.
class Comparison {
 public:
  Comparison(std::string name, double tolerance, Report& report)
      : name_(std::move(name)), tolerance_(tolerance), report_(report) {}

  void Value(const std::string& metric, double computed, double expected) {
    report_.Compare(absl::StrCat(name_, " ", metric), at::full({}, computed, at::kDouble),
                    at::full({}, expected, at::kDouble), tolerance_);
  }
  // `undefined` lists the metrics of the protocol that are; their value is a placeholder.
  void Check(const nlohmann::json& protocol, const nlohmann::json& undefined,
             const std::string& metric, const Metric& computed) {
    Value(metric, computed.value, protocol.at(metric).get<double>());
    const bool expected = std::find(undefined.begin(), undefined.end(), metric) == undefined.end();
    report_.Check(absl::StrCat(name_, " ", metric, " defined"), computed.defined() == expected,
                  computed.undefined);
  }
  void CheckImages(const nlohmann::json& protocol, const nlohmann::json& undefined,
                   const Ranking& ranking) {
    Check(protocol, undefined, "image_auroc", ranking.auroc);
    Check(protocol, undefined, "image_ap", ranking.ap);
    Check(protocol, undefined, "image_f1_max", ranking.f1_max);
  }

 private:
  const std::string name_;
  const double tolerance_;
  Report& report_;
};

// The paper's few-shot score: equal to the bit.
void CheckFewShot(const Case& read, const nlohmann::json& expected, const std::string& name,
                  double tolerance, Report& report) {
  const at::Tensor maxima = read.maps.flatten(1).amax(1).contiguous();
  const auto n = static_cast<size_t>(maxima.numel());
  const SetScores scores =
      ScaleOverSet({maxima.const_data_ptr<float>(), n}, {read.scores.const_data_ptr<float>(), n});
  const nlohmann::json& values = expected.at("fewshot_image_scores");
  report.Check(absl::StrCat(name, " few-shot flat"), scores.flat == values.is_null());
  if (values.is_null()) return;
  report.Check(absl::StrCat(name, " few-shot scores"),
               scores.scores == values.get<std::vector<double>>(), "scores differ");
  Comparison comparison(absl::StrCat(name, " few-shot"), tolerance, report);
  const nlohmann::json& of = expected.at("fewshot_reference");
  const Ranking ranking = RankScores(scores.scores, Labels(read));
  comparison.Value("image_auroc", ranking.auroc.value, of.at("image_auroc").get<double>());
  comparison.Value("image_ap", ranking.ap.value, of.at("image_ap").get<double>());
  comparison.Value("image_f1_max", ranking.f1_max.value, of.at("image_f1_max").get<double>());
}

// The paper's program's metrics of a case.
using Values = std::map<std::string, double>;

absl::StatusOr<Values> CheckCase(const fs::path& folder, const std::string& name,
                                 const nlohmann::json& expected, double tolerance, Report& report) {
  HFWA_ASSIGN_OR_RETURN(const Case read, ReadCase(folder / (name + ".safetensors")));
  std::vector<double> scores;
  for (int64_t i = 0; i < read.scores.numel(); ++i) {
    scores.push_back(read.scores.const_data_ptr<float>()[i]);
  }
  const Ranking images = RankScores(scores, Labels(read));
  Values values = {{"image_auroc", images.auroc.value},
                   {"image_ap", images.ap.value},
                   {"image_f1_max", images.f1_max.value}};
  for (const int connectivity : {8, 4}) {
    HFWA_ASSIGN_OR_RETURN(const PixelMetrics pixels, MeasurePixels(read, connectivity));
    const std::string aupro = absl::StrCat("pixel_aupro_", connectivity);
    Comparison exact(absl::StrCat(name, " exact"), tolerance, report);
    const nlohmann::json& undefined = expected.at("exact_undefined");
    exact.Check(expected.at("exact_protocol"), undefined, aupro, pixels.ranking.aupro);
    report.Check(
        absl::StrCat(name, " regions_", connectivity),
        pixels.regions == expected.at(absl::StrCat("regions_", connectivity)).get<uint64_t>());
    if (connectivity != 8) continue;
    for (const char* which : {"reference", "exact"}) {
      const nlohmann::json& protocol = expected.at(absl::StrCat(which, "_protocol"));
      const nlohmann::json& unknown = expected.at(absl::StrCat(which, "_undefined"));
      Comparison comparison(absl::StrCat(name, " ", which), tolerance, report);
      comparison.CheckImages(protocol, unknown, images);
      comparison.Check(protocol, unknown, "pixel_auroc", pixels.ranking.auroc);
      comparison.Check(protocol, unknown, "pixel_ap", pixels.ranking.ap);
      comparison.Check(protocol, unknown, "pixel_f1_max", pixels.ranking.f1_max);
    }
    Comparison reference(absl::StrCat(name, " reference"), tolerance, report);
    reference.Check(expected.at("reference_protocol"), expected.at("reference_undefined"),
                    "pixel_aupro", pixels.aupro_reference);
    values.insert({{"pixel_auroc", pixels.ranking.auroc.value},
                   {"pixel_ap", pixels.ranking.ap.value},
                   {"pixel_f1_max", pixels.ranking.f1_max.value},
                   {"pixel_aupro", pixels.aupro_reference.value}});
  }
  CheckFewShot(read, expected, name, tolerance, report);
  return values;
}

}  // namespace

absl::StatusOr<Report> MetricsParity(const std::string& folder) {
  const fs::path path = folder;
  HFWA_ASSIGN_OR_RETURN(const nlohmann::json expected, ReadJson((path / "expected.json").string()));
  const nlohmann::json& tolerances = expected.at("tolerances");
  const double tolerance = std::min(tolerances.at("auroc_ap_f1").get<double>(),
                                    tolerances.at("aupro_exact").get<double>());
  Report report;
  std::map<std::string, Values> cases;
  for (const auto& [name, of] : expected.at("cases").items()) {
    HFWA_ASSIGN_OR_RETURN(cases[name], CheckCase(path, name, of, tolerance, report));
  }
  Comparison mean("mean of basic and ties", tolerance, report);
  for (const auto& [metric, value] : expected.at("mean_over_basic_and_ties").items()) {
    mean.Value(metric, Mean({cases["basic"][metric], cases["ties"][metric]}), value.get<double>());
  }
  return report;
}

}  // namespace hfwa::lab
