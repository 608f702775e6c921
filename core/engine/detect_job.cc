#include "core/engine/detect_job.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/base/status_macros.h"

namespace hfwa::engine {
namespace {

// The largest map of MapSize::kImage; a larger image's map is scaled down to this, keeping its
// shape.
constexpr double kMapPixelsMax = 4e6;

// True if the map is shown as the device draws it.
bool DrawnByDevice(const DetectOutputs& outputs) {
  return outputs.map && outputs.format == MapFormat::kPngColor && outputs.size == MapSize::kModel;
}

absl::StatusOr<RenderedMap> RenderDrawn(const image::Image& picture, double low, double high) {
  RenderedMap rendered{.width = picture.width,
                       .height = picture.height,
                       .format = MapFormat::kPngColor,
                       .data = {},
                       .display_low = low,
                       .display_high = high};
  HFWA_ASSIGN_OR_RETURN(rendered.data, image::EncodePng(picture));
  return rendered;
}

absl::StatusOr<RenderedMap> Render(const image::FloatMap& map, const DetectOutputs& outputs,
                                   int grid, const DetectResult& result, double low, double high) {
  int width = map.width;
  int height = map.height;
  if (outputs.size == MapSize::kGrid) {
    width = height = grid;
  } else if (outputs.size == MapSize::kImage) {
    const double pixels = static_cast<double>(result.image_width) * result.image_height;
    const double scale = std::min(1.0, std::sqrt(kMapPixelsMax / pixels));
    width = std::max(1, static_cast<int>(result.image_width * scale));
    height = std::max(1, static_cast<int>(result.image_height * scale));
  }
  const bool same = width == map.width && height == map.height;
  const image::FloatMap resized = same ? image::FloatMap{} : image::ResizeMap(map, width, height);
  const image::FloatMap& shown = same ? map : resized;

  RenderedMap rendered{.width = width,
                       .height = height,
                       .format = outputs.format,
                       .data = {},
                       .display_low = low,
                       .display_high = high};
  const auto low_f = static_cast<float>(low);
  const auto high_f = static_cast<float>(high);
  switch (outputs.format) {
    case MapFormat::kPngColor: {
      HFWA_ASSIGN_OR_RETURN(rendered.data, image::EncodePng(image::ColorMap(shown, low_f, high_f)));
      break;
    }
    case MapFormat::kPngGray16: {
      HFWA_ASSIGN_OR_RETURN(rendered.data, image::EncodePngGrey16(shown, low_f, high_f));
      break;
    }
    case MapFormat::kFloat32:
      rendered.data.resize(shown.values.size() * sizeof(float));
      std::memcpy(rendered.data.data(), shown.values.data(), rendered.data.size());
      break;
  }
  return rendered;
}

// From pixels of the map to pixels of the image, corner to corner.
std::vector<image::Region> ScaleRegions(std::vector<image::Region> regions,
                                        const image::FloatMap& map, int width, int height) {
  const double sx = map.width > 1 ? static_cast<double>(width - 1) / (map.width - 1) : 0;
  const double sy = map.height > 1 ? static_cast<double>(height - 1) / (map.height - 1) : 0;
  const auto scale = [&](image::Point p) {
    return image::Point{static_cast<int>(std::lround(p.x * sx)),
                        static_cast<int>(std::lround(p.y * sy))};
  };
  const double area =
      static_cast<double>(width) * height / (static_cast<double>(map.width) * map.height);
  for (image::Region& region : regions) {
    for (image::Point& point : region.polygon) point = scale(point);
    const image::Point first = scale({region.x, region.y});
    const image::Point last = scale({region.x + region.width - 1, region.y + region.height - 1});
    region.x = first.x;
    region.y = first.y;
    region.width = last.x - first.x + 1;
    region.height = last.y - first.y + 1;
    region.area *= area;
    region.peak_point = scale(region.peak_point);
  }
  return regions;
}

}  // namespace

DetectJob::DetectJob(DetectCall detect_call, const Clock* clock, Observer* observer,
                     std::unique_ptr<Admission::Place> admitted)
    : call(std::move(detect_call)),
      place(std::move(admitted)),
      clock_(clock),
      observer_(observer),
      start_(clock->SteadyNow()) {}

DetectJob::~DetectJob() {
  if (!ended_) End(absl::InternalError("a detect call was dropped"));
}

void DetectJob::End(absl::StatusOr<DetectResult> outcome) {
  if (ended_.exchange(true)) return;
  if (outcome.ok()) {
    const absl::Duration now = clock_->SteadyNow();
    outcome->times.total = now - start_;
    if (call.deadline < absl::InfiniteDuration())
      observer_->OnDeadlineSlack(lane(), call.deadline - now);
  }
  call.done(std::move(outcome));
  place.reset();
}

absl::Status DetectJob::CheckAlive() const {
  if (call.cancelled()) return absl::CancelledError("the caller has gone");
  if (clock_->SteadyNow() > call.deadline)
    return absl::DeadlineExceededError("the deadline has passed");
  return absl::OkStatus();
}

void DetectJob::Took(Stage stage, absl::Duration duration) {
  result.times.stage[static_cast<int>(stage)] = duration;
  if (stage != Stage::kEncode)
    observer_->OnStage(stage, duration);  // encode is counted once a batch
}

FinishRequest FinishOf(const DetectJob& job) {
  const DetectOutputs& outputs = job.call.outputs;
  const bool drawn = DrawnByDevice(outputs);
  return {.wanted = !outputs.level_maps && job.product_bank->method == store::Method::kHfwa,
          .bank = job.product_bank->bank,
          .values = outputs.regions || (outputs.map && !drawn),
          .coloured = drawn,
          .low = static_cast<float>(job.product_bank->score_model.display_low()),
          .high = static_cast<float>(job.product_bank->score_model.display_high())};
}

absl::Status Judge(DetectJob& job, const Clock& clock) {
  const absl::Duration start = clock.SteadyNow();
  DetectResult& result = job.result;
  const scoring::ScoreModel& score_model = job.product_bank->score_model;
  const double distance = result.top_patches.value_or(result.map_max);
  result.score =
      score_model.Score({.text_probability = result.text_probability, .map_max = distance});
  if (!std::isfinite(result.score) || !std::isfinite(result.map_max) || !std::isfinite(distance)) {
    return absl::InternalError("the model's answer is not finite");
  }
  result.threshold = job.manual_threshold ? job.manual_threshold : score_model.threshold();
  result.calibration = job.manual_threshold      ? CalibrationState::kManual
                       : score_model.threshold() ? CalibrationState::kProvisional
                                                 : CalibrationState::kUncalibrated;
  if (result.threshold.has_value()) {
    result.verdict = result.score >= *result.threshold ? Verdict::kAnomalous : Verdict::kGood;
  }
  const absl::Duration scored = clock.SteadyNow();
  job.Took(Stage::kScore, result.times.stage[static_cast<int>(Stage::kScore)] + (scored - start));

  const DetectOutputs& outputs = job.call.outputs;
  if (!outputs.map && !outputs.level_maps && !outputs.regions) return absl::OkStatus();
  const double low = score_model.display_low();
  const double high = score_model.display_high();
  const int grid = job.result.grid_size;
  if (outputs.map) {
    HFWA_ASSIGN_OR_RETURN(result.map, job.coloured.width > 0
                                          ? RenderDrawn(job.coloured, low, high)
                                          : Render(job.map, outputs, grid, result, low, high));
  }
  for (const image::FloatMap& map : job.level_maps) {
    const auto levels = static_cast<double>(job.level_maps.size());
    HFWA_ASSIGN_OR_RETURN(RenderedMap rendered,
                          Render(map, outputs, grid, result, low / levels, high / levels));
    result.level_maps.push_back(std::move(rendered));
  }
  if (outputs.regions) {
    result.regions =
        ScaleRegions(image::FindRegions(job.map, static_cast<float>(score_model.map_limit())),
                     job.map, result.image_width, result.image_height);
  }
  job.Took(Stage::kRender, clock.SteadyNow() - scored);
  return absl::OkStatus();
}

}  // namespace hfwa::engine
