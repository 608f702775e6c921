#include <algorithm>

#include <ATen/ATen.h>

#include "core/base/status_macros.h"
#include "core/engine/maps.h"
#include "core/image/render.h"
#include "lab/data/load.h"
#include "lab/eval/class_run.h"

namespace hfwa::lab {
namespace {

constexpr int kSide = 224;
constexpr int kQuality = 80;

}  // namespace

absl::StatusOr<Picture> ClassRun::DrawPicture(const Detector& detector, const ImageScore& score,
                                              float low, float high) const {
  const auto test = std::find_if(tests_.begin(), tests_.end(),
                                 [&](const Test& of) { return of.item == score.item; });
  const Item& item = of_.test[score.item];
  HFWA_ASSIGN_OR_RETURN(const Features features, store_.Get(test->features));
  HFWA_ASSIGN_OR_RETURN(const Judgement judgement, detector.Judge(features, false));
  HFWA_ASSIGN_OR_RETURN(const image::Image full, LoadPicture(set_, item));
  const image::Image small = image::Thumbnail(full, kSide);
  Picture picture;
  picture.path = item.image;
  picture.kind = item.kind;
  picture.anomalous = item.anomalous;
  picture.score = score.score;
  HFWA_ASSIGN_OR_RETURN(picture.image_jpeg, image::EncodeJpeg(small, kQuality));
  HFWA_ASSIGN_OR_RETURN(
      picture.overlay_jpeg,
      image::EncodeJpeg(image::Overlay(small, engine::ToFloatMap(judgement.map), low, high),
                        kQuality));
  if (!test->mask.empty()) {
    std::vector<uint8_t> visible;
    for (const uint8_t value : test->mask) visible.push_back(value != 0 ? 255 : 0);
    HFWA_ASSIGN_OR_RETURN(picture.mask_png, image::EncodePngGrey8(visible, side_, side_));
  }
  return picture;
}

absl::StatusOr<ClassPictures> ClassRun::DrawPictures(const Method& method, const Draw& draw,
                                                     const Measurement& measurement) {
  HFWA_ASSIGN_OR_RETURN(const auto detector, Fit(method, draw, nullptr));
  std::vector<ImageScore> good, defects;
  for (const ImageScore& score : measurement.scores) {
    (of_.test[score.item].anomalous ? defects : good).push_back(score);
  }
  const auto ascending = [](const ImageScore& a, const ImageScore& b) { return a.score < b.score; };
  std::stable_sort(good.begin(), good.end(), ascending);
  std::stable_sort(defects.begin(), defects.end(), ascending);
  ClassPictures result = {.method = measurement.method,
                          .class_name = of_.name,
                          .shots = draw.shots,
                          .seed = draw.seed,
                          .missed = {},
                          .false_alarm = {},
                          .found = {},
                          .passed = {}};
  // Fewer where there are few, so that none is among the best and the worst.
  const auto add = [&](const std::vector<ImageScore>& from, bool from_end,
                       std::vector<Picture>& to) -> absl::Status {
    const size_t count = std::min(static_cast<size_t>(options_.pictures), from.size() / 2);
    for (size_t i = 0; i < count; ++i) {
      const ImageScore& score = from[from_end ? from.size() - 1 - i : i];
      HFWA_ASSIGN_OR_RETURN(Picture picture, DrawPicture(*detector, score, measurement.map_low,
                                                         measurement.map_high));
      to.push_back(std::move(picture));
    }
    return absl::OkStatus();
  };
  HFWA_RETURN_IF_ERROR(add(defects, false, result.missed));
  HFWA_RETURN_IF_ERROR(add(good, true, result.false_alarm));
  HFWA_RETURN_IF_ERROR(add(defects, true, result.found));
  HFWA_RETURN_IF_ERROR(add(good, false, result.passed));
  return result;
}

}  // namespace hfwa::lab
