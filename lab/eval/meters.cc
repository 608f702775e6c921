#include "lab/eval/meters.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "lab/metrics/score_metrics.h"

namespace hfwa::lab {
namespace {

// Parts besides the whole share half of the memory.
constexpr size_t kPartsMax = 8;

Ranking Undefined(const std::string& why) {
  Ranking ranking;
  for (Metric* metric : {&ranking.auroc, &ranking.ap, &ranking.f1_max, &ranking.aupro}) {
    *metric = Metric::Undefined(why);
  }
  return ranking;
}

// Shares of one label that score at least the threshold.
Metric Called(const Scoring& scoring, absl::Span<const size_t> members,
              absl::Span<const uint8_t> labels, uint8_t label) {
  if (!scoring.threshold.has_value()) return Metric::Undefined("no threshold");
  double all = 0, called = 0;
  for (const size_t i : members) {
    if (labels[i] != label) continue;
    ++all;
    called += scoring.scores[i] >= *scoring.threshold ? 1 : 0;
  }
  if (all == 0) return Metric::Undefined(label != 0 ? "nothing anomalous" : "nothing normal");
  return {.value = called / all, .undefined = ""};
}

}  // namespace

Meters::Meters(const EvaluationOptions& options, int side, bool any_mask,
               const std::vector<std::string>& kinds)
    : options_(options),
      side_(side),
      any_mask_(any_mask),
      no_defect_(static_cast<size_t>(side) * static_cast<size_t>(side), 0) {
  AddPart({.name = "all"});
  if (options.sizes && any_mask) {
    // The paper's classes: < 0.5 %, < 1 %, <= 10 %, > 10 %.
    const double half = std::nextafter(0.005, 0), one = std::nextafter(0.01, 0);
    AddPart({.name = "size <0.5%", .above = -1, .up_to = half});
    AddPart({.name = "size <1%", .above = half, .up_to = one});
    AddPart({.name = "size <=10%", .above = one, .up_to = 0.1});
    AddPart({.name = "size >10%", .above = 0.1, .up_to = 1});
  }
  if (options.kinds && kinds.size() > 1) {
    for (const std::string& kind : kinds) {
      AddPart({.name = absl::StrCat("kind ", kind), .kind = kind});
    }
  }
}

void Meters::AddPart(Part part) {
  const bool whole = part.level < 0 && part.above < 0 && part.up_to >= 1 && part.kind.empty();
  PixelOptions options;
  options.reference_protocol = true;
  options.memory_bytes = whole ? options_.memory_bytes / 2 : options_.memory_bytes / 2 / kPartsMax;
  options.scratch = options_.scratch;
  options.curve_points = whole ? options_.curve_points : 0;
  if (any_mask_ && part.kind.empty()) part.pixels = std::make_unique<PixelMeter>(options);
  parts_.push_back(std::move(part));
}

absl::Status Meters::Add(const Image& image, const Judgement& judgement) {
  if (judgement.levels.defined() && raws_.empty()) {
    for (int i = 0; i < static_cast<int>(judgement.levels.size(0)); ++i) {
      AddPart({.name = absl::StrCat("level H", i + 1), .level = i});
    }
  }
  const float low = judgement.map.min().item<float>();
  low_ = raws_.empty() ? low : std::min(low, low_);
  high_ = raws_.empty() ? judgement.raw.map_max : std::max(judgement.raw.map_max, high_);
  for (Part& part : parts_) HFWA_RETURN_IF_ERROR(AddTo(part, image, judgement));
  items_.push_back(image.item);
  labels_.push_back(image.anomalous ? 1 : 0);
  raws_.push_back(judgement.raw);
  return absl::OkStatus();
}

absl::Status Meters::AddTo(Part& part, const Image& image, const Judgement& judgement) {
  const bool sized = part.above >= 0 || part.up_to < 1;
  if (sized && image.anomalous &&
      (!image.mask_known || image.share <= part.above || image.share > part.up_to)) {
    return absl::OkStatus();
  }
  if (!part.kind.empty() && image.anomalous && image.kind != part.kind) return absl::OkStatus();
  part.members.push_back(raws_.size());
  const at::Tensor map =
      (part.level < 0 ? judgement.map : judgement.levels[part.level]).contiguous();
  if (part.level >= 0) {
    part.raws.push_back({map.max().item<float>(), judgement.raw.probability});
  }
  if (part.pixels == nullptr || !image.mask_known) return absl::OkStatus();
  return part.pixels->Add({map.const_data_ptr<float>(), static_cast<size_t>(map.numel())},
                          image.mask.empty() ? absl::Span<const uint8_t>(no_defect_) : image.mask,
                          side_, side_);
}

ImageMetrics Meters::Measure(const Part& part, const Scoring& scoring) const {
  std::vector<double> scores;
  std::vector<uint8_t> labels;
  for (const size_t i : part.members) {
    scores.push_back(scoring.scores[i]);
    labels.push_back(labels_[i]);
  }
  const bool whole = part.name == "all";
  return {.scoring = scoring.name,
          .ranking = RankScores(scores, labels, whole ? options_.curve_points : 0),
          .good_called_anomalous = Called(scoring, part.members, labels_, 0),
          .defects_called_anomalous = Called(scoring, part.members, labels_, 1),
          .note = scoring.note};
}

absl::StatusOr<Subset> Meters::FinishPart(Part& part, const std::vector<Scoring>& scorings) const {
  Subset subset;
  subset.name = part.name;
  for (const size_t i : part.members) ++(labels_[i] != 0 ? subset.defects : subset.good);
  for (const Scoring& scoring : scorings) subset.images.push_back(Measure(part, scoring));
  if (part.pixels == nullptr) {
    subset.pixels.ranking = Undefined(part.kind.empty() ? "no masks" : "not by kind of defect");
    subset.pixels.aupro_sowa = subset.pixels.ranking.aupro;
    return subset;
  }
  HFWA_ASSIGN_OR_RETURN(PixelMetrics pixels, part.pixels->Finish());
  part.pixels.reset();
  subset.pixels = {.ranking = std::move(pixels.ranking),
                   .aupro_sowa = pixels.aupro_reference,
                   .images = pixels.images,
                   .pixels = pixels.pixels};
  return subset;
}

absl::Status Meters::Finish(const Detector& detector, Measurement& result) {
  const std::vector<Scoring> scorings = detector.Score(raws_);
  for (Part& part : parts_) {
    std::vector<Scoring> of_level;
    if (part.level >= 0) {
      // A level has no threshold of its own.
      of_level = detector.Score(part.raws);
      of_level.resize(1);
    }
    HFWA_ASSIGN_OR_RETURN(Subset subset, FinishPart(part, part.level < 0 ? scorings : of_level));
    result.subsets.push_back(std::move(subset));
  }
  result.map_low = low_;
  result.map_high = high_;
  for (size_t i = 0; i < items_.size(); ++i) {
    result.scores.push_back({items_[i], scorings.front().scores[i], labels_[i] != 0});
  }
  return absl::OkStatus();
}

}  // namespace hfwa::lab
