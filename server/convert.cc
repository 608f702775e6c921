#include "server/convert.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace hfwa::server {
namespace {

// Enums of the engine whose values the contract's repeat.
static_assert(static_cast<int>(engine::Verdict::kAnomalous) == v1::DetectResponse::ANOMALOUS);
static_assert(static_cast<int>(engine::Verdict::kGood) == v1::DetectResponse::GOOD);
static_assert(static_cast<int>(engine::Method::kZeroShot) + 1 == v1::DetectResponse::ZERO_SHOT);
static_assert(static_cast<int>(engine::Method::kFewShot) + 1 == v1::DetectResponse::FEW_SHOT);
static_assert(static_cast<int>(engine::Method::kFewShotVisualOnly) + 1 ==
              v1::DetectResponse::FEW_SHOT_VISUAL_ONLY);
static_assert(static_cast<int>(engine::CalibrationState::kUncalibrated) + 1 ==
              v1::Product::UNCALIBRATED);
static_assert(static_cast<int>(engine::CalibrationState::kProvisional) + 1 ==
              v1::Product::PROVISIONAL);
static_assert(static_cast<int>(engine::CalibrationState::kCalibrated) + 1 ==
              v1::Product::CALIBRATED);
static_assert(static_cast<int>(engine::CalibrationState::kManual) + 1 == v1::Product::MANUAL);
static_assert(static_cast<int>(engine::MapFormat::kPngColor) + 1 == v1::PNG_COLOR);
static_assert(static_cast<int>(engine::MapFormat::kPngGray16) + 1 == v1::PNG_GRAY16);
static_assert(static_cast<int>(engine::MapFormat::kFloat32) + 1 == v1::FLOAT32);

v1::Product::CalibrationState StateOf(engine::CalibrationState state) {
  return static_cast<v1::Product::CalibrationState>(static_cast<int>(state) + 1);
}

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t nanos = absl::ToUnixNanos(time);
  int64_t seconds = nanos / 1'000'000'000;
  int64_t rest = nanos % 1'000'000'000;
  if (rest < 0) {
    rest += 1'000'000'000;
    --seconds;
  }
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(rest));
}

void SetDuration(absl::Duration duration, google::protobuf::Duration* out) {
  const int64_t nanos = absl::ToInt64Nanoseconds(duration);
  out->set_seconds(nanos / 1'000'000'000);
  out->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

void FillMap(engine::RenderedMap&& map, v1::AnomalyMap* out) {
  out->set_width(map.width);
  out->set_height(map.height);
  out->set_format(static_cast<v1::MapFormat>(static_cast<int>(map.format) + 1));
  out->set_data(std::move(map.data));
  out->set_display_low(map.display_low);
  out->set_display_high(map.display_high);
}

void FillRegion(const image::Region& region, v1::Region* out) {
  for (const image::Point& point : region.polygon) {
    auto* p = out->add_polygon();
    p->set_x(point.x);
    p->set_y(point.y);
  }
  out->set_x(region.x);
  out->set_y(region.y);
  out->set_width(region.width);
  out->set_height(region.height);
  out->set_area(region.area);
  out->set_peak(static_cast<double>(region.peak));
  out->mutable_peak_point()->set_x(region.peak_point.x);
  out->mutable_peak_point()->set_y(region.peak_point.y);
}

void FillTimes(const engine::StageTimes& times, v1::DetectResponse::StageTimes* out) {
  const auto stage = [&](engine::Stage s) { return times.stage[static_cast<size_t>(s)]; };
  SetDuration(stage(engine::Stage::kDecode), out->mutable_decode());
  SetDuration(stage(engine::Stage::kPreprocess), out->mutable_preprocess());
  SetDuration(stage(engine::Stage::kQueue), out->mutable_queue());
  SetDuration(stage(engine::Stage::kEncode), out->mutable_encode());
  SetDuration(stage(engine::Stage::kMatch), out->mutable_match());
  SetDuration(stage(engine::Stage::kScore), out->mutable_score());
  SetDuration(stage(engine::Stage::kRender), out->mutable_render());
  SetDuration(times.total, out->mutable_total());
}

std::string RevisionName(const std::string& product_id, int64_t number) {
  return absl::StrCat("products/", product_id, "/revisions/", number);
}

}  // namespace

std::string ProductName(const std::string& product_id) {
  return absl::StrCat("products/", product_id);
}

std::string ReferenceNameOf(const std::string& product_id, const std::string& reference_id) {
  return absl::StrCat("products/", product_id, "/references/", reference_id);
}

store::Method MethodOf(v1::Product::Method method) {
  return method == v1::Product::ANOMALY_DINO ? store::Method::kAnomalyDino : store::Method::kHfwa;
}

void FillProduct(const store::Product& product, const engine::Calibration* calibration,
                 v1::Product* out) {
  out->set_name(ProductName(product.id));
  out->set_uid(product.uid);
  out->set_display_name(product.display_name);
  out->set_class_name(product.class_name);
  out->mutable_labels()->insert(product.labels.begin(), product.labels.end());
  if (product.threshold.has_value()) out->set_threshold(*product.threshold);
  if (product.coreset_ratio < 1) out->set_coreset_ratio(product.coreset_ratio);
  out->set_method(product.method == store::Method::kAnomalyDino ? v1::Product::ANOMALY_DINO
                                                                : v1::Product::HFWA);
  if (calibration != nullptr) {
    out->set_calibration_state(StateOf(calibration->state));
    if (calibration->threshold.has_value()) out->set_effective_threshold(*calibration->threshold);
  }
  out->set_reference_count(product.reference_count);
  out->set_revision(RevisionName(product.id, product.revision));
  SetTime(product.create_time, out->mutable_create_time());
  SetTime(product.update_time, out->mutable_update_time());
  out->set_etag(product.etag);
}

void FillReference(const std::string& product_id, const store::Reference& reference,
                   v1::Reference* out) {
  out->set_name(ReferenceNameOf(product_id, reference.id));
  out->set_sha256(reference.sha256);
  out->set_size_bytes(reference.size_bytes);
  out->set_media_type(reference.media_type);
  out->set_width(reference.width);
  out->set_height(reference.height);
  SetTime(reference.create_time, out->mutable_create_time());
  out->set_source_name(reference.source_name);
}

void FillModel(const engine::ModelInfo& model, v1::Model* out) {
  out->set_name("models/current");
  out->set_display_name(model.name);
  out->set_digest(model.digest);
  out->set_config_json(model.config_json);
  out->set_device(model.device);
  out->set_precision(model.precision);
  out->set_has_language(model.has_language);
  out->set_image_size(model.image_size);
  out->set_grid_size(model.grid_size);
  out->mutable_class_names()->Assign(model.class_names.begin(), model.class_names.end());
}

engine::DetectOutputs OutputsOf(const v1::DetectOutputs& outputs) {
  engine::DetectOutputs out;
  out.map = outputs.map();
  out.level_maps = outputs.level_maps();
  out.regions = outputs.regions();
  switch (outputs.map_format()) {
    case v1::PNG_GRAY16:
      out.format = engine::MapFormat::kPngGray16;
      break;
    case v1::FLOAT32:
      out.format = engine::MapFormat::kFloat32;
      break;
    default:
      out.format = engine::MapFormat::kPngColor;
      break;
  }
  switch (outputs.map_size()) {
    case v1::GRID:
      out.size = engine::MapSize::kGrid;
      break;
    case v1::IMAGE:
      out.size = engine::MapSize::kImage;
      break;
    default:
      out.size = engine::MapSize::kModel;
      break;
  }
  return out;
}

void FillDetectResponse(const v1::DetectRequest& request, const std::string& model_digest,
                        engine::DetectResult&& result, v1::DetectResponse* out) {
  out->set_score(result.score);
  out->set_verdict(static_cast<v1::DetectResponse::Verdict>(result.verdict));
  if (result.threshold.has_value()) out->set_threshold(*result.threshold);
  out->set_calibration_state(StateOf(result.calibration));
  out->set_method(static_cast<v1::DetectResponse::Method>(static_cast<int>(result.method) + 1));
  if (result.text_probability.has_value())
    out->mutable_raw()->set_text_probability(*result.text_probability);
  out->mutable_raw()->set_map_max(result.map_max);
  if (result.top_patches.has_value()) out->mutable_raw()->set_top_patches(*result.top_patches);
  if (result.map.has_value()) FillMap(std::move(*result.map), out->mutable_map());
  for (engine::RenderedMap& map : result.level_maps) FillMap(std::move(map), out->add_level_maps());
  for (const image::Region& region : result.regions) FillRegion(region, out->add_regions());
  out->set_product_revision(absl::StrCat(request.product(), "/revisions/", result.revision));
  out->set_model_digest(model_digest);
  *out->mutable_labels() = request.labels();
  FillTimes(result.times, out->mutable_times());
  out->set_batch_size(result.batch_size);
  out->set_image_width(result.image_width);
  out->set_image_height(result.image_height);
}

const char* VerdictText(engine::Verdict verdict) {
  switch (verdict) {
    case engine::Verdict::kGood:
      return "good";
    case engine::Verdict::kAnomalous:
      return "anomalous";
    default:
      return "unspecified";
  }
}

}  // namespace hfwa::server
