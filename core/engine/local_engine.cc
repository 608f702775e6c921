#include "core/engine/local_engine.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/processors.h"
#include "core/base/status_macros.h"
#include "core/base/thread_pool.h"
#include "core/batching/planner.h"
#include "core/engine/admission.h"
#include "core/engine/detect_job.h"
#include "core/engine/encoder.h"
#include "core/engine/image_input.h"
#include "core/engine/maps.h"
#include "core/engine/method.h"
#include "core/engine/product_banks.h"
#include "core/engine/reference_features.h"
#include "core/engine/registration.h"
#include "core/engine/tensor_pool.h"
#include "core/store/feature_cache.h"

namespace hfwa::engine {
namespace {

using batching::Lane;

uint64_t ProductKey(const DetectCall& call) { return std::hash<std::string>{}(call.product_id); }

// Of the time that a caller gave, kept back for what comes after the device.
constexpr double kReplyShare = 0.02;
constexpr absl::Duration kReplyMarginMax = absl::Milliseconds(20);

constexpr int kThumbnailSide = 256;
constexpr int kThumbnailQuality = 85;

class LocalEngine final : public Engine {
 public:
  LocalEngine(const LocalEngineOptions& options, std::unique_ptr<store::Store> store,
              std::unique_ptr<model::Hfwa> model, const Clock* clock, Observer* observer)
      : options_(options),
        clock_(clock),
        observer_(observer),
        store_(std::move(store)),
        // How a picture is read is part of what its features are.
        features_(absl::StrCat(options.data_directory, "/cache"),
                  absl::StrCat(model->fingerprint(), " upright=", options.decode.apply_orientation,
                               " grey16=", static_cast<int>(options.decode.grey16)),
                  options.feature_cache_bytes),
        encoder_(std::move(model),
                 {.batch_max = options.batch_max,
                  // Registrations wait here too, so admission of detect calls is the tighter bound.
                  .items_max = 2 * options.queue_images,
                  .bytes_max = 2 * options.queue_bytes,
                  .unhurried_wait_max = options.queue_wait_max},
                 options.hang_limit, clock, observer),
        buffers_(InputShape(encoder_.model()), encoder_.model().options().device != "cpu",
                 static_cast<size_t>(options.queue_images)),
        references_(store_.get(), &features_, &encoder_, &buffers_, options.decode),
        admission_(options.queue_images, options.queue_bytes, &encoder_),
        banks_(store_.get(), &features_, &encoder_, &references_, options.bank_cache_bytes),
        pool_("hfwa-decode", DecodeThreads(options),
              static_cast<size_t>(2 * options.queue_images) + 64) {
    const model::Hfwa& hosted = encoder_.model();
    info_ = {.name = hosted.config().name,
             .digest = hosted.digest(),
             .config_json = hosted.config_json(),
             .device = hosted.options().device,
             .kernels = hosted.kernels().name(),
             .precision = std::string(model::PrecisionName(hosted.options().precision)),
             .has_language = hosted.config().has_language(),
             .image_size = hosted.config().vision.image_size,
             .grid_size = hosted.config().vision.grid(),
             .class_names = hosted.config().has_language() ? hosted.config().prompt.class_names
                                                           : std::vector<std::string>{}};
  }

  // Calls may still be under way: the device's and the builders' threads hand them on to the pool,
  // so they end first.
  ~LocalEngine() override { encoder_.Close(); }

  absl::Status WarmUp() {
    if (options_.cuda_graphs && options_.device != "cpu") {
      const absl::Status graphs = encoder_.UseGraphs(options_.batch_max);
      if (!graphs.ok() && !absl::IsUnavailable(graphs)) return graphs;
      if (!graphs.ok()) absl::StrAppend(&info_.kernels, "; no ", graphs.message());
    }
    return encoder_.WarmUp(options_.batch_max);
  }

  void Detect(DetectCall call) override;
  absl::StatusOr<std::unique_ptr<Registration>> Register(const std::string& product_id) override;
  absl::StatusOr<std::optional<std::string>> FindReply(const store::Retry& retry) override {
    return store_->FindReply(retry);
  }
  absl::StatusOr<store::Product> DeleteReference(const std::string& product_id,
                                                 const std::string& reference_id,
                                                 const store::Retry& retry) override;
  absl::StatusOr<store::Product> UpdateProduct(const std::string& product_id,
                                               store::ProductPatch patch, const std::string& etag,
                                               const store::Retry& retry) override;
  absl::Status DeleteProduct(const std::string& product_id, const std::string& etag,
                             const store::Retry& retry) override;
  absl::StatusOr<Calibration> GetCalibration(const store::Product& product) override;
  absl::StatusOr<std::string> ReferenceThumbnail(const store::Reference& reference) override;

  store::Store& store() override { return *store_; }
  const ModelInfo& model() const override { return info_; }
  absl::Status healthy() const override;
  void Drain(absl::Duration timeout) override;

 private:
  static int DecodeThreads(const LocalEngineOptions& options) {
    if (options.decode_threads > 0) return options.decode_threads;
    return std::max(2, UsableProcessors());
  }

  static std::vector<int64_t> InputShape(const model::Hfwa& model) {
    const int64_t side = model.config().vision.image_size;
    return {3, side, side};
  }

  // `status` with how long the lane's queue is, for the caller to come back then.
  absl::Status WithWait(absl::Status status, const char* reason, batching::Lane lane) const;
  // The stages of a call, each ending the job or handing it on.
  void Prepare(const std::shared_ptr<DetectJob>& job);
  absl::Status PrepareOrFail(const std::shared_ptr<DetectJob>& job);
  absl::Status Encode(const std::shared_ptr<DetectJob>& job, at::Tensor image);
  void AfterForward(const std::shared_ptr<DetectJob>& job, absl::StatusOr<Encoded> encoded);
  absl::Status MatchAndMap(DetectJob& job, Encoded& encoded);
  // The refusal of a call that there is no room or no time for; other errors stay as they are.
  absl::Status Refused(absl::Status status, batching::Lane lane) const;

  const LocalEngineOptions options_;
  const Clock* const clock_;
  Observer* const observer_;
  ModelInfo info_;

  // Destroyed in reverse: the pool ends its work while encoder, banks and store still live, and the
  // banks end theirs while there is an admission to give calls' places back to.
  const std::unique_ptr<store::Store> store_;
  store::FeatureCache features_;
  Encoder encoder_;
  TensorPool buffers_;
  ReferenceFeatures references_;
  Admission admission_;
  ProductBanks banks_;

  ThreadPool pool_;
};

absl::Status LocalEngine::WithWait(absl::Status status, const char* reason, Lane lane) const {
  const absl::Duration wait = std::max(absl::Milliseconds(50), encoder_.EstimatedWait(lane));
  return Annotate(std::move(status), reason, {}, wait);
}

absl::Status LocalEngine::Refused(absl::Status status, Lane lane) const {
  if (absl::IsResourceExhausted(status)) {
    observer_->OnRefusal("QUEUE_FULL", lane);
    return WithWait(std::move(status), "QUEUE_FULL", lane);
  }
  if (absl::IsDeadlineExceeded(status)) {
    observer_->OnRefusal("DEADLINE_EXCEEDED", lane);
    return WithWait(std::move(status), "DEADLINE_EXCEEDED", lane);
  }
  return status;
}

// When the device must be done for a reply in time: what comes after it takes a share of the time
// that the caller gave, for a caller with little time has little to be rendered.
absl::Duration DeviceDeadline(absl::Duration deadline, absl::Duration now) {
  if (deadline == absl::InfiniteDuration()) return deadline;
  const absl::Duration left = std::max(deadline - now, absl::ZeroDuration());
  return deadline - std::min(kReplyShare * left, kReplyMarginMax);
}

void LocalEngine::Detect(DetectCall call) {
  const absl::Duration device_deadline = DeviceDeadline(call.deadline, clock_->SteadyNow());
  auto place = admission_.Take({.lane = LaneOf(call),
                                .product = ProductKey(call),
                                .bytes = BytesOf(call.image) + buffers_.bytes(),
                                .deadline = device_deadline});
  if (!place.ok()) {
    call.done(Refused(place.status(), LaneOf(call)));
    return;
  }
  auto job = std::make_shared<DetectJob>(std::move(call), clock_, observer_, *std::move(place));
  job->device_deadline = device_deadline;
  if (absl::Status status = pool_.Submit([this, job] { Prepare(job); }); !status.ok()) {
    job->End(Refused(std::move(status), job->lane()));
  }
}

// Runs a stage that hands the job on, or ends the job with the stage's error.
template <typename Function>
void RunStage(const std::shared_ptr<DetectJob>& job, Function&& stage) {
  absl::Status status;
  try {
    status = stage();
  } catch (const std::bad_alloc&) {
    status = Annotate(absl::ResourceExhaustedError("no memory for the image"), "MEMORY_FULL");
  } catch (const std::exception& e) {
    status = absl::InternalError(e.what());
  }
  if (!status.ok()) job->End(std::move(status));
}

void LocalEngine::Prepare(const std::shared_ptr<DetectJob>& job) {
  RunStage(job, [&] { return PrepareOrFail(job); });
}

absl::Status LocalEngine::PrepareOrFail(const std::shared_ptr<DetectJob>& job) {
  HFWA_RETURN_IF_ERROR(job->CheckAlive());
  HFWA_ASSIGN_OR_RETURN(const store::Product product, store_->GetProduct(job->call.product_id));
  const int64_t picture_bytes = PictureBytes(job->call.image, options_.decode);
  if (absl::Status held = job->place->Hold(picture_bytes); !held.ok())
    return Refused(std::move(held), job->lane());
  HFWA_ASSIGN_OR_RETURN(
      PreparedImage image,
      PrepareImage(job->call.image, options_.decode, encoder_.model().config(), *clock_, buffers_));
  job->place->Release(picture_bytes);
  job->Took(Stage::kDecode, image.decode_time);
  job->Took(Stage::kPreprocess, image.preprocess_time);
  job->manual_threshold = product.threshold;
  job->result.image_width = image.width;
  job->result.image_height = image.height;
  job->place->Arrived();  // whether it waits for its bank or its batch
  banks_.WhenReady(product, [this, job, tensor = std::move(image.tensor)](auto bank) mutable {
    RunStage(job, [&]() -> absl::Status {
      // From here to the end this one version of the bank is used.
      HFWA_ASSIGN_OR_RETURN(job->product_bank, std::move(bank));
      return Encode(job, std::move(tensor));
    });
  });
  return absl::OkStatus();
}

absl::Status LocalEngine::Encode(const std::shared_ptr<DetectJob>& job, at::Tensor image) {
  const bool has_bank = job->product_bank->bank != nullptr;
  const store::Method method = job->product_bank->method;
  const bool with_language = UsesLanguage(encoder_.model().config(), method);
  if (!has_bank && !with_language) {
    return Annotate(
        absl::FailedPreconditionError(absl::StrCat("the product has no reference image, and ",
                                                   info_.has_language ? "its method" : "this model",
                                                   " has no language side to judge without")),
        "NO_REFERENCES");
  }
  job->result.revision = job->product_bank->revision;
  job->result.method = method == store::Method::kAnomalyDino ? Method::kAnomalyDino
                       : !has_bank                           ? Method::kZeroShot
                       : with_language                       ? Method::kFewShot
                                                             : Method::kFewShotVisualOnly;
  job->result.grid_size = info_.grid_size;
  HFWA_RETURN_IF_ERROR(job->CheckAlive());

  Encoder::Request request;
  request.image = std::move(image);
  request.class_index = job->product_bank->class_index;
  request.lane = job->lane();
  request.product = ProductKey(job->call);
  request.deadline = job->device_deadline;
  request.promised = true;  // by the admission
  request.cancelled = job->call.cancelled;
  request.finish = FinishOf(*job);
  encoder_.Encode(std::move(request), [this, job](absl::StatusOr<Encoded> encoded) {
    AfterForward(job, std::move(encoded));
  });
  return absl::OkStatus();
}

void LocalEngine::AfterForward(const std::shared_ptr<DetectJob>& job,
                               absl::StatusOr<Encoded> encoded) {
  absl::Status status = encoded.status();
  if (status.ok()) {
    try {
      status = MatchAndMap(*job, *encoded);
    } catch (const std::exception& e) {
      status = encoder_.DeviceError(e);
    }
  } else {
    status = Refused(std::move(status), job->lane());
  }
  if (!status.ok()) {
    job->End(std::move(status));
    return;
  }
  const auto finish = [this, job] {
    absl::Status judged;
    try {
      judged = Judge(*job, *clock_);
    } catch (const std::exception& e) {
      judged = absl::InternalError(e.what());
    }
    if (judged.ok()) {
      job->End(std::move(job->result));
    } else {
      job->End(std::move(judged));
    }
  };
  // The device thread goes on with the next batch while pictures are rendered.
  if (!pool_.Submit(finish).ok()) finish();
}

absl::Status LocalEngine::MatchAndMap(DetectJob& job, Encoded& encoded) {
  job.Took(Stage::kQueue, encoded.queue_time);
  job.Took(Stage::kEncode, encoded.encode_time);
  job.result.batch_size = encoded.batch_size;
  const model::ModelConfig& config = encoder_.model().config();
  const store::Method method = job.product_bank->method;
  const bool with_language = UsesLanguage(config, method);
  if (with_language) job.result.text_probability = encoded.text_probability;
  if (encoded.finished.has_value()) {
    job.Took(Stage::kMatch, encoded.finish_time);  // the device does not stop between the two
    job.result.map_max = encoded.finished->maximum;
    job.map = std::move(encoded.finished->values);
    job.coloured = std::move(encoded.finished->coloured);
    return absl::OkStatus();
  }

  const absl::Duration start = clock_->SteadyNow();
  at::Tensor few;
  if (job.product_bank->bank != nullptr) few = job.product_bank->bank->Match(encoded.tokens);
  const absl::Duration matched = clock_->SteadyNow();
  if (few.defined()) job.Took(Stage::kMatch, matched - start);

  const Judged judged = JudgeMatches(config, method, encoded.language_diff, few);
  job.result.map_max = judged.map_max;
  job.result.top_patches = judged.top_patches;
  job.map = ToFloatMap(judged.map);
  if (job.call.outputs.level_maps) {
    const at::Tensor levels =
        LevelMaps(config, with_language ? encoded.language_diff : at::Tensor(), few);
    for (int64_t i = 0; i < levels.size(0); ++i) job.level_maps.push_back(ToFloatMap(levels[i]));
  }
  job.result.times.stage[static_cast<int>(Stage::kScore)] = clock_->SteadyNow() - matched;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Registration>> LocalEngine::Register(const std::string& product_id) {
  HFWA_RETURN_IF_ERROR(admission_.draining());
  HFWA_ASSIGN_OR_RETURN(store::Product product, store_->GetProduct(product_id));
  const LocalRegistration::Parts parts{.store = store_.get(),
                                       .banks = &banks_,
                                       .features = &references_,
                                       .model = &encoder_.model(),
                                       .admission = &admission_,
                                       .buffers = &buffers_,
                                       .decode = options_.decode,
                                       .references_max = options_.references_max};
  return std::make_unique<LocalRegistration>(parts, std::move(product));
}

// Features of deleted references are dropped from the cache; should another product use the same
// image, the next build encodes it again.
absl::StatusOr<store::Product> LocalEngine::DeleteReference(const std::string& product_id,
                                                            const std::string& reference_id,
                                                            const store::Retry& retry) {
  HFWA_RETURN_IF_ERROR(admission_.draining());
  // Absent where this repeats a request that was carried out.
  const auto reference = store_->GetReference(product_id, reference_id);
  HFWA_ASSIGN_OR_RETURN(store::Product product,
                        store_->DeleteReference(product_id, reference_id, retry));
  HFWA_RETURN_IF_ERROR(banks_.Refresh(product));
  if (reference.ok()) references_.Remove(reference->sha256);
  return product;
}

absl::StatusOr<store::Product> LocalEngine::UpdateProduct(const std::string& product_id,
                                                          store::ProductPatch patch,
                                                          const std::string& etag,
                                                          const store::Retry& retry) {
  patch.pictures_max = options_.references_max;
  return store_->UpdateProduct(product_id, patch, etag, retry);
}

absl::Status LocalEngine::DeleteProduct(const std::string& product_id, const std::string& etag,
                                        const store::Retry& retry) {
  HFWA_RETURN_IF_ERROR(admission_.draining());
  const auto revision = store_->CurrentRevision(product_id);
  HFWA_RETURN_IF_ERROR(store_->DeleteProduct(product_id, etag, retry));
  banks_.Drop(product_id);
  if (revision.ok()) {
    for (const store::Reference& reference : revision->references)
      references_.Remove(reference.sha256);
  }
  return absl::OkStatus();
}

absl::StatusOr<Calibration> LocalEngine::GetCalibration(const store::Product& product) {
  if (product.threshold.has_value()) {
    return Calibration{.state = CalibrationState::kManual, .threshold = product.threshold};
  }
  HFWA_ASSIGN_OR_RETURN(const scoring::ScoreModel score_model, banks_.GetScoreModel(product));
  return Calibration{.state = score_model.threshold() ? CalibrationState::kProvisional
                                                      : CalibrationState::kUncalibrated,
                     .threshold = score_model.threshold()};
}

absl::StatusOr<std::string> LocalEngine::ReferenceThumbnail(const store::Reference& reference) {
  HFWA_ASSIGN_OR_RETURN(const std::string bytes, store_->ReadObject(reference.sha256));
  HFWA_ASSIGN_OR_RETURN(const image::Image picture, image::Decode(bytes, options_.decode));
  return image::EncodeJpeg(image::Thumbnail(picture, kThumbnailSide), kThumbnailQuality);
}

absl::Status LocalEngine::healthy() const {
  HFWA_RETURN_IF_ERROR(admission_.draining());
  HFWA_RETURN_IF_ERROR(encoder_.healthy());
  return store_->healthy();
}

void LocalEngine::Drain(absl::Duration timeout) { admission_.Drain(timeout); }

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> CreateLocalEngine(const LocalEngineOptions& options,
                                                          std::unique_ptr<store::Store> store,
                                                          const Clock* clock, Observer* observer) {
  at::set_num_threads(options.compute_threads > 0 ? options.compute_threads : UsableProcessors());
  model::Precision precision = model::FastestPrecision(options.device);
  if (options.precision != "auto") {
    HFWA_ASSIGN_OR_RETURN(precision, model::ParsePrecision(options.precision));
  }
  HFWA_ASSIGN_OR_RETURN(model::ModelFiles files,
                        model::ReadModelDirectory(options.model_directory));
  model::HfwaOptions model_options;
  model_options.device = options.device;
  model_options.precision = precision;
  HFWA_ASSIGN_OR_RETURN(auto model, model::Hfwa::Create(std::move(files), model_options));
  auto engine =
      std::make_unique<LocalEngine>(options, std::move(store), std::move(model), clock, observer);
  HFWA_RETURN_IF_ERROR(engine->WarmUp());
  return engine;
}

}  // namespace hfwa::engine
