#include "lab/eval/class_run.h"

#include <algorithm>
#include <set>
#include <utility>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "lab/data/load.h"
#include "lab/eval/meters.h"
#include "lab/eval/seconds.h"

namespace hfwa::lab {
namespace {

// Of the picture as it is, where small defects are not yet gone.
double DefectShare(const image::Image& mask) {
  const image::Mask full = image::PrepareMask(mask, mask.width, mask.height);
  const auto defect = std::count_if(full.values.begin(), full.values.end(),
                                    [](uint8_t value) { return value != 0; });
  return static_cast<double>(defect) / static_cast<double>(full.values.size());
}

constexpr char kModelPass[] = "";

}  // namespace

ClassRun::ClassRun(const DataSet& set, const ItemClass& of, const model::Hfwa& hfwa,
                   const std::vector<std::unique_ptr<Method>>& methods,
                   const EvaluationOptions& options, ProblemLog& log)
    : set_(set),
      of_(of),
      hfwa_(hfwa),
      options_(options),
      log_(log),
      side_(hfwa.config().map_size),
      store_(options.feature_memory_bytes, options.scratch) {
  std::set<std::string> names;
  for (const auto& method : methods) {
    model_pass_ = model_pass_ || method->needs_model_pass();
    for (const View* view : method->views()) {
      if (names.insert(view->name()).second) views_.push_back(view);
    }
  }
}

absl::Status ClassRun::Load() {
  for (size_t i = 0; i < of_.test.size(); ++i) {
    HFWA_ASSIGN_OR_RETURN(std::optional<Test> test, LoadTest(i));
    if (!test.has_value()) continue;
    any_mask_ = any_mask_ || (test->anomalous && test->mask_known);
    tests_.push_back(*std::move(test));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<ClassRun::Test>> ClassRun::LoadTest(size_t index) {
  const Item& item = of_.test[index];
  const auto picture = LoadPicture(set_, item);
  if (!picture.ok()) {
    HFWA_RETURN_IF_ERROR(log_.Add({item.image, std::string(picture.status().message())}));
    return std::nullopt;
  }
  Test test = {.item = index,
               .features = 0,
               .anomalous = item.anomalous,
               .mask_known = !item.anomalous || !item.mask.empty(),
               .mask = {},
               .share = 0};
  HFWA_RETURN_IF_ERROR(LoadMaskOf(item, *picture, test));
  HFWA_ASSIGN_OR_RETURN(test.features, EncodePicture(item, *picture, /*reference=*/false));
  return test;
}

absl::Status ClassRun::LoadMaskOf(const Item& item, const image::Image& picture, Test& test) {
  const auto mask = LoadMask(set_, item, picture);
  if (!mask.ok()) {
    test.mask_known = !item.anomalous;
    return log_.Add({item.image, std::string(mask.status().message()), Problem::Effect::kNoMask});
  }
  if (!mask->has_value()) return absl::OkStatus();
  const image::Mask resized = ResizeMask(*mask, side_);
  test.share = DefectShare(**mask);
  size_t defect = 0;
  for (const uint8_t value : resized.values) {
    test.mask.push_back(value >= image::kEvaluationMaskMin ? 1 : 0);
    defect += test.mask.back();
  }
  if (defect == 0) {
    test.mask.clear();
    return item.anomalous ? log_.Note(item.image, absl::StrCat("its mask shows no defect at ",
                                                               side_, "x", side_))
                          : absl::OkStatus();
  }
  if (!item.anomalous) return log_.Note(item.image, "is good, but its mask shows a defect");
  if (defect == test.mask.size()) {
    return log_.Note(item.image, "is defect all over: it has no false positive rate");
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> ClassRun::EncodePicture(const Item& item, const image::Image& picture,
                                               bool reference) {
  const at::Tensor input = ToModelInput(picture, hfwa_.config());
  double start = Seconds();
  const auto lap = [&](const std::string& name) {
    const double now = Seconds();
    if (!reference) encode_seconds_[name] += now - start;
    start = now;
  };
  Features features;
  if (model_pass_) {
    HFWA_ASSIGN_OR_RETURN(features, Encode(hfwa_, input, item.class_name));
    lap(kModelPass);
  }
  for (const View* view : views_) {
    if (view->references_only() && !reference) continue;
    HFWA_ASSIGN_OR_RETURN(
        features.views[view->name()],
        view->Look({.picture = picture, .model_input = input, .class_name = item.class_name}));
    lap(view->name());
  }
  return store_.Add(std::move(features));
}

double ClassRun::EncodeSeconds(const Method& method) const {
  const auto of = [this](const std::string& name) {
    const auto found = encode_seconds_.find(name);
    return found == encode_seconds_.end() ? 0 : found->second;
  };
  double sum = method.needs_model_pass() ? of(kModelPass) : 0;
  for (const View* view : method.views()) sum += of(view->name());
  return tests_.empty() ? 0 : sum / static_cast<double>(tests_.size());
}

absl::StatusOr<std::optional<size_t>> ClassRun::Reference(int index) {
  const auto found = references_.find(index);
  if (found != references_.end()) return found->second;
  const Item& item = of_.train[static_cast<size_t>(index)];
  std::optional<size_t>& number = references_[index];
  const auto picture = LoadPicture(set_, item);
  if (!picture.ok()) {
    HFWA_RETURN_IF_ERROR(log_.Add({item.image, std::string(picture.status().message())}));
    return number;
  }
  HFWA_ASSIGN_OR_RETURN(number, EncodePicture(item, *picture, /*reference=*/true));
  return number;
}

absl::StatusOr<std::unique_ptr<Detector>> ClassRun::Fit(const Method& method, const Draw& draw,
                                                        Measurement* result) {
  References references = {.images = {}, .class_name = of_.name, .seed = draw.seed};
  for (const int index : draw.references) {
    HFWA_ASSIGN_OR_RETURN(const std::optional<size_t> number, Reference(index));
    if (!number.has_value()) continue;
    HFWA_ASSIGN_OR_RETURN(Features features, store_.Get(*number));
    references.images.push_back(std::move(features));
    if (result != nullptr) {
      result->references.push_back(of_.train[static_cast<size_t>(index)].image);
    }
  }
  if (draw.shots > 0 && references.images.empty()) {
    return absl::FailedPreconditionError("there is no normal image to refer to");
  }
  const double start = Seconds();
  auto detector = method.Fit(references);
  if (result != nullptr) result->time.fit = Seconds() - start;
  return detector;
}

std::vector<std::string> ClassRun::Kinds() const {
  std::vector<std::string> kinds;
  for (const Test& test : tests_) {
    const std::string& kind = of_.test[test.item].kind;
    if (test.anomalous && std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
      kinds.push_back(kind);
    }
  }
  return kinds;
}

absl::StatusOr<Measurement> ClassRun::Measure(const Method& method, const Draw& draw) {
  Measurement result;
  result.method = method.name();
  result.class_name = of_.name;
  result.shots = draw.shots;
  result.seed = draw.seed;
  const auto detector = Fit(method, draw, &result);
  if (absl::IsFailedPrecondition(detector.status())) {
    result.missing = std::string(detector.status().message());
    return result;
  }
  HFWA_RETURN_IF_ERROR(detector.status());
  if (static_cast<int>(result.references.size()) < draw.shots) {
    HFWA_RETURN_IF_ERROR(
        log_.Note(of_.name, absl::StrCat("has ", result.references.size(), " references where ",
                                         draw.shots, " were asked for")));
  }
  result.time.encode = EncodeSeconds(method);
  Meters meters(options_, side_, any_mask_, Kinds());
  for (const Test& test : tests_) {
    const Item& item = of_.test[test.item];
    HFWA_ASSIGN_OR_RETURN(const Features features, store_.Get(test.features));
    const double before = Seconds();
    HFWA_ASSIGN_OR_RETURN(const Judgement judgement, (*detector)->Judge(features, options_.levels));
    result.time.judge += (Seconds() - before) / static_cast<double>(tests_.size());
    if (!at::isfinite(judgement.map).all().item<bool>()) {
      HFWA_RETURN_IF_ERROR(log_.Add({item.image, absl::StrCat(method.name(), " with ", draw.shots,
                                                              " references gives a map that is "
                                                              "not finite")}));
      continue;
    }
    if (judgement.map.min().item<float>() == judgement.raw.map_max) {
      HFWA_RETURN_IF_ERROR(log_.Note(item.image, absl::StrCat(method.name(), " with ", draw.shots,
                                                              " references gives a constant map")));
    }
    HFWA_RETURN_IF_ERROR(meters.Add({.item = test.item,
                                     .anomalous = test.anomalous,
                                     .mask_known = test.mask_known,
                                     .mask = test.mask,
                                     .share = test.share,
                                     .kind = item.kind},
                                    judgement));
  }
  HFWA_RETURN_IF_ERROR(meters.Finish(**detector, result));
  for (const ImageMetrics& images : result.subsets.front().images) {
    if (!images.note.empty()) HFWA_RETURN_IF_ERROR(log_.Note(of_.name, images.note));
  }
  return result;
}

}  // namespace hfwa::lab
