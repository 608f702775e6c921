#include "lab/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/clock.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/model/device.h"
#include "core/model/prompts.h"
#include "core/model/safetensors.h"
#include "core/model/torch_errors.h"
#include "lab/eval/evaluation.h"
#include "lab/eval/summary.h"
#include "lab/eval/table.h"
#include "lab/train/output.h"
#include "lab/train/random.h"

namespace hfwa::lab::train {
namespace {

constexpr char kCheckpoint[] = "checkpoint.safetensors";
constexpr char kParameter[] = "p.";

nlohmann::json ToJson(const LossValues& values) {
  return {values.total, values.ce, values.focal, values.dice};
}
LossValues LossesFrom(const nlohmann::json& json) {
  return {json.at(0).get<double>(), json.at(1).get<double>(), json.at(2).get<double>(),
          json.at(3).get<double>()};
}
LossValues Divided(const LossValues& sums, int64_t count) {
  const auto n = static_cast<double>(std::max<int64_t>(1, count));
  return {sums.total / n, sums.ce / n, sums.focal / n, sums.dice / n};
}

nlohmann::json ToJson(const EpochResult& result) {
  return {{"epoch", result.epoch},
          {"losses", ToJson(result.losses)},
          {"learning_rate", result.learning_rate},
          {"seconds_per_image", result.seconds_per_image},
          {"images", result.images},
          {"backbone_images", result.backbone_images}};
}
EpochResult EpochFrom(const nlohmann::json& json) {
  EpochResult result;
  result.epoch = json.at("epoch").get<int>();
  result.losses = LossesFrom(json.at("losses"));
  result.learning_rate = json.at("learning_rate").get<double>();
  result.seconds_per_image = json.at("seconds_per_image").get<double>();
  result.images = json.at("images").get<int64_t>();
  result.backbone_images = json.at("backbone_images").get<int64_t>();
  return result;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(const TrainOptions& options,
                                                         std::ostream& log, bool terminal) {
  std::unique_ptr<Trainer> trainer(new Trainer(options, log, terminal));
  HFWA_RETURN_IF_ERROR(model::CatchTorchErrors([&] { return trainer->Load(); }));
  return trainer;
}

std::string Trainer::TrainingPath(const std::string& name) const {
  return absl::StrCat(options_.out, "/training/", name);
}

absl::Status Trainer::Load() {
  HFWA_ASSIGN_OR_RETURN(device_, model::OpenDevice(options_.device));
  if (!device_.is_cpu()) {
    // Some sums would otherwise come in any order.
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
    at::globalContext().setDeterministicFillUninitializedMemory(false);
  }
  HFWA_RETURN_IF_ERROR(LoadModel());
  HFWA_RETURN_IF_ERROR(LoadData());
  HFWA_ASSIGN_OR_RETURN(lock_, LockOutput(options_.model, options_.out));
  HFWA_RETURN_IF_ERROR(PrepareOutput(options_.model, frozen_, config_json_, options_.out));
  const int64_t updates = (loader_->batches() + options_.accumulate - 1) / options_.accumulate;
  schedule_ = std::make_unique<Schedule>(options_.schedule, updates * options_.epochs);
  optimizer_ = std::make_unique<Optimizer>(learnable_->parameters(), options_.optimizer);
  std::error_code error;
  const bool found = std::filesystem::exists(TrainingPath(kCheckpoint), error);
  if (found && !options_.resume) {
    return absl::FailedPreconditionError(absl::StrCat(
        options_.out, ": holds a training run; resume it, or choose another directory"));
  }
  if (found) HFWA_RETURN_IF_ERROR(Resume());
  return OpenLogs();
}

absl::Status Trainer::LoadModel() {
  HFWA_ASSIGN_OR_RETURN(frozen_, model::ReadFrozenModel(options_.model));
  HFWA_ASSIGN_OR_RETURN(config_json_, VariantConfig(frozen_.config_json, options_.variant));
  HFWA_ASSIGN_OR_RETURN(config_, model::ParseModelConfig(config_json_));
  const at::ScalarType type = options_.bf16 ? at::kBFloat16 : at::kFloat;
  HFWA_ASSIGN_OR_RETURN(const model::PromptTokens tokens,
                        model::TokenizePrompts(config_, frozen_.merges));
  LearnableOptions learnable;
  learnable.device = device_;
  learnable.type = type;
  HFWA_ASSIGN_OR_RETURN(
      learnable_,
      Learnable::Create(config_, frozen_.weights, InitialTensors(config_, options_.samples.seed),
                        tokens, learnable));
  if (!learnable_->needs_images()) {
    HFWA_ASSIGN_OR_RETURN(backbone_, Backbone::Create(config_, frozen_.weights, device_, type));
  }
  frozen_.weights = model::Weights();
  return absl::OkStatus();
}

absl::Status Trainer::LoadData() {
  HFWA_ASSIGN_OR_RETURN(data_, ReadDataSet(options_.data));
  for (const Problem& problem : data_.problems) log_ << "warning: " << ToString(problem) << "\n";
  data_digest_ = Sha256Hex(ToMetaJson(data_));
  if (backbone_ != nullptr && !options_.cache.empty()) {
    cache_ = std::make_unique<FeatureCache>(
        options_.cache, absl::StrCat(frozen_.digest, " ", backbone_->Fingerprint()),
        Backbone::Values(config_), options_.cache_bytes);
  }
  HFWA_ASSIGN_OR_RETURN(samples_, Samples::Create(data_, config_, options_.samples, cache_.get()));
  if (samples_->without_mask() > 0) {
    log_ << "warning: " << samples_->without_mask() << " anomalous images have no mask; "
         << (options_.skip_missing_masks
                 ? "their pixels teach nothing\n"
                 : "their maps learn that nothing is wrong (see --missing-masks)\n");
  }
  loader_ = std::make_unique<Loader>(*samples_, options_.batch, options_.loader_threads,
                                     options_.batches_ahead);
  return absl::OkStatus();
}

absl::Status Trainer::OpenLogs() {
  const int64_t steps = optimizer_->steps();
  HFWA_RETURN_IF_ERROR(steps_csv_.Open(TrainingPath("steps.csv"),
                                       "step,epoch,learning_rate,loss,ce,focal,dice", steps));
  HFWA_RETURN_IF_ERROR(epochs_csv_.Open(
      TrainingPath("epochs.csv"),
      "epoch,learning_rate,loss,ce,focal,dice,seconds_per_image,images,backbone_images", epoch_));
  return events_.Open(options_.out + "/training");
}

nlohmann::json Trainer::IdentityNow() const {
  nlohmann::json identity = Identity(options_);
  identity["frozen"] = frozen_.digest;
  identity["data"] = data_digest_;
  return identity;
}

absl::Status Trainer::CheckIdentity(const nlohmann::json& state) const {
  std::vector<std::string> other;
  const nlohmann::json now = IdentityNow();
  for (const auto& [key, value] : now.items()) {
    const auto found = state.at("identity").find(key);
    if (found == state.at("identity").end() || *found != value) other.push_back(key);
  }
  if (other.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the checkpoint is of a run with other: ", absl::StrJoin(other, ", ")));
}

absl::Status Trainer::Resume() {
  const std::string path = TrainingPath(kCheckpoint);
  HFWA_ASSIGN_OR_RETURN(const Checkpoint checkpoint, ReadCheckpoint(path));
  const nlohmann::json& state = checkpoint.state;
  const at::NoGradGuard no_grad;
  try {
    HFWA_RETURN_IF_ERROR(CheckIdentity(state));
    for (const auto& [name, parameter] : learnable_->parameters()) {
      const auto found = checkpoint.tensors.find(kParameter + name);
      if (found == checkpoint.tensors.end() || found->second.sizes() != parameter.sizes()) {
        return absl::InvalidArgumentError(absl::StrCat(path, ": lacks ", name));
      }
      parameter.copy_(found->second);
    }
    HFWA_RETURN_IF_ERROR(optimizer_->Restore(checkpoint.tensors, state.at("steps").get<int64_t>()));
    schedule_->Restore(state.at("schedule"));
    stop_.Restore(state.at("stop"));
    epoch_ = state.at("epoch").get<int>();
    batch_ = state.at("batch").get<int64_t>();
    if (epoch_ < 0 || batch_ < 0 || batch_ >= loader_->batches() ||
        batch_ % options_.accumulate != 0) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": stands at no update"));
    }
    sums_ = LossesFrom(state.at("sums"));
    for (const auto& epoch : state.at("epochs")) epochs_.push_back(EpochFrom(epoch));
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", error.what()));
  }
  log_ << absl::StrFormat("resuming at epoch %d, batch %d of %d, after %d updates\n", epoch_ + 1,
                          batch_ + 1, loader_->batches(), optimizer_->steps());
  return absl::OkStatus();
}

absl::Status Trainer::Save() {
  Checkpoint checkpoint;
  checkpoint.tensors = optimizer_->State();
  for (auto& [name, tensor] : LearntOnCpu()) checkpoint.tensors[kParameter + name] = tensor;
  nlohmann::json epochs = nlohmann::json::array();
  for (const EpochResult& result : epochs_) epochs.push_back(ToJson(result));
  checkpoint.state = {{"identity", IdentityNow()},
                      {"steps", optimizer_->steps()},
                      {"schedule", schedule_->State()},
                      {"stop", stop_.State()},
                      {"epoch", epoch_},
                      {"batch", batch_},
                      {"sums", ToJson(sums_)},
                      {"epochs", std::move(epochs)}};
  return WriteCheckpoint(TrainingPath(kCheckpoint), checkpoint);
}

Tensors Trainer::LearntOnCpu() const {
  Tensors tensors;
  for (const auto& [name, tensor] : learnable_->parameters())
    tensors[name] = tensor.detach().to(at::kCPU);
  return tensors;
}

absl::Status Trainer::Run() {
  return model::CatchTorchErrors([&]() -> absl::Status {
    while (epoch_ < options_.epochs && !stop_.stopped()) {
      HFWA_ASSIGN_OR_RETURN(const EpochResult result, RunEpoch());
      HFWA_RETURN_IF_ERROR(EndEpoch(result));
    }
    if (stop_.stopped())
      log_ << "stopped early: no better epoch since " << stop_.best_epoch() + 1 << "\n";
    return Finish();
  });
}

absl::StatusOr<EpochResult> Trainer::RunEpoch() {
  const absl::Duration start = Clock::Real().SteadyNow();
  const int64_t images = samples_->size(), first = batch_ * options_.batch;
  EpochResult result;
  result.epoch = epoch_;
  result.learning_rate = schedule_->LearningRate(optimizer_->steps());
  backbone_images_ = 0;
  loader_->Start(epoch_, batch_);
  progress_.Start(epoch_, options_.epochs, images, first);
  optimizer_->ZeroGradients();
  while (batch_ < loader_->batches()) {
    HFWA_ASSIGN_OR_RETURN(std::vector<Sample> samples, loader_->Next());
    const auto count = static_cast<int64_t>(samples.size());
    HFWA_ASSIGN_OR_RETURN(const LossValues losses, RunBatch(std::move(samples)));
    progress_.Advance(count, losses);
  }
  const double seconds = absl::ToDoubleSeconds(Clock::Real().SteadyNow() - start);
  result.losses = Divided(sums_, loader_->batches());
  result.images = images - first;
  result.seconds_per_image = seconds / static_cast<double>(std::max<int64_t>(1, result.images));
  result.backbone_images = backbone_images_;
  return result;
}

int64_t Trainer::GroupSize() const {
  const int64_t start = batch_ / options_.accumulate * options_.accumulate;
  return std::min(options_.accumulate, loader_->batches() - start);
}

absl::StatusOr<LossValues> Trainer::RunBatch(std::vector<Sample> samples) {
  learnable_->StartDropout(Random(options_.samples.seed, "dropout", static_cast<uint64_t>(epoch_),
                                  static_cast<uint64_t>(batch_))
                               .Next());
  HFWA_ASSIGN_OR_RETURN(const LossParts parts, Loss(samples));
  const LossValues losses = {parts.total.item<double>(), parts.ce.item<double>(),
                             parts.focal.item<double>(), parts.dice.item<double>()};
  if (!std::isfinite(losses.total)) {
    return absl::InternalError(absl::StrFormat(
        "the loss is not finite in epoch %d, batch %d; a smaller learning rate may help",
        epoch_ + 1, batch_ + 1));
  }
  const int64_t group = GroupSize();
  (group == 1 ? parts.total : parts.total / group).backward();
  sums_ = {sums_.total + losses.total, sums_.ce + losses.ce, sums_.focal + losses.focal,
           sums_.dice + losses.dice};
  const bool complete = batch_ % options_.accumulate == group - 1;
  ++batch_;
  if (complete) HFWA_RETURN_IF_ERROR(Update(losses));
  return losses;
}

absl::StatusOr<LossParts> Trainer::Loss(std::vector<Sample>& samples) {
  std::vector<int64_t> labels, classes, known;
  std::vector<at::Tensor> masks;
  for (size_t i = 0; i < samples.size(); ++i) {
    labels.push_back(samples[i].label);
    classes.push_back(samples[i].class_index);
    if (!samples[i].mask_known && options_.skip_missing_masks) continue;
    known.push_back(static_cast<int64_t>(i));
    masks.push_back(samples[i].mask);
  }
  HFWA_ASSIGN_OR_RETURN(TrainForward forward,
                        Forward(samples, at::tensor(classes, at::kLong).to(device_)));
  if (known.size() < samples.size()) {
    const at::Tensor rows = at::tensor(known, at::kLong).to(device_);
    for (at::Tensor& level : forward.pixel_logits) level = level.index_select(0, rows);
  }
  const at::Tensor mask = masks.empty() ? at::empty({0}, at::kFloat) : at::stack(masks);
  return ComputeLoss(forward.text_probs, forward.pixel_logits,
                     at::tensor(labels, at::kLong).to(device_), mask.to(device_), options_.loss);
}

absl::Status Trainer::Update(const LossValues& losses) {
  const double rate = schedule_->LearningRate(optimizer_->steps());
  optimizer_->Step(rate);
  optimizer_->ZeroGradients();
  const int64_t step = optimizer_->steps();
  steps_csv_.Add(step, {static_cast<double>(epoch_ + 1), rate, losses.total, losses.ce,
                        losses.focal, losses.dice});
  events_.Scalar("loss/total", step, losses.total);
  events_.Scalar("loss/ce", step, losses.ce);
  events_.Scalar("loss/focal", step, losses.focal);
  events_.Scalar("loss/dice", step, losses.dice);
  events_.Scalar("learning_rate", step, rate);
  // The epoch's end has a checkpoint of its own.
  if (batch_ < loader_->batches() && step % options_.checkpoint_steps == 0) return Save();
  return absl::OkStatus();
}

absl::StatusOr<TrainForward> Trainer::Forward(std::vector<Sample>& samples,
                                              const at::Tensor& classes) {
  if (learnable_->needs_images()) {
    std::vector<at::Tensor> images;
    images.reserve(samples.size());
    for (const Sample& sample : samples) images.push_back(sample.image);
    backbone_images_ += static_cast<int64_t>(images.size());
    return learnable_->ForwardImages(at::stack(images).to(device_), classes);
  }
  HFWA_ASSIGN_OR_RETURN(const at::Tensor rows, FeatureRows(samples));
  return learnable_->Forward(backbone_->Split(rows), classes);
}

absl::StatusOr<at::Tensor> Trainer::FeatureRows(std::vector<Sample>& samples) {
  std::vector<at::Tensor> rows;
  rows.reserve(samples.size());
  for (Sample& sample : samples) {
    if (!sample.features.defined()) {
      sample.features = backbone_->Compute(sample.image);
      ++backbone_images_;
      if (cache_ != nullptr && !sample.sha256.empty()) cache_->Put(sample.sha256, sample.features);
    }
    rows.push_back(sample.features.to(device_));
  }
  return at::stack(rows);
}

absl::Status Trainer::EndEpoch(const EpochResult& result) {
  const LossValues& losses = result.losses;
  schedule_->EndEpoch(losses.total);
  const bool best = stop_.EndEpoch(result.epoch, losses.total);
  epochs_.push_back(result);
  ++epoch_;
  batch_ = 0;
  sums_ = {};
  // First the model, then the checkpoint: a crash between the two repeats the epoch's end.
  if (best) {
    HFWA_RETURN_IF_ERROR(WriteTensorsDurably(options_.out + "/learned.safetensors", LearntOnCpu()));
  }
  HFWA_RETURN_IF_ERROR(Save());
  epochs_csv_.Add(epoch_, {result.learning_rate, losses.total, losses.ce, losses.focal, losses.dice,
                           result.seconds_per_image, static_cast<double>(result.images),
                           static_cast<double>(result.backbone_images)});
  events_.Scalar("epoch/loss", epoch_, losses.total);
  events_.Scalar("epoch/seconds_per_image", epoch_, result.seconds_per_image);
  events_.Flush();
  progress_.Finish(absl::StrFormat(
      "epoch %d/%d  loss %.6f (ce %.4f focal %.4f dice %.4f)  %.4f s/image, %d of %d through the "
      "backbone%s",
      epoch_, options_.epochs, losses.total, losses.ce, losses.focal, losses.dice,
      result.seconds_per_image, result.backbone_images, result.images, best ? "  *" : ""));
  return absl::OkStatus();
}

absl::StatusOr<CardMetrics> Trainer::Measure(const std::string& data) const {
  EvaluationOptions options;
  options.data = data;
  options.model = options_.out;
  options.shots = {0};
  options.sizes = options.levels = false;
  options.hfwa.device = options_.device;
  options.on_bad_input = OnBadInput::kSkip;
  HFWA_ASSIGN_OR_RETURN(const EvaluationResult result, Evaluate(options));
  CardMetrics metrics;
  metrics.data = data;
  for (const Average& average : Averages(ToRows(result))) {
    // The mean over classes in the paper's scoring.
    if (!average.class_name.empty() || average.subset != "all" || average.scoring != "paper")
      continue;
    for (size_t i = 0; i < average.values.size(); ++i) {
      if (const std::string text = ToText(average.values[i]); !text.empty())
        metrics.values.emplace_back(ColumnKey(i), text);
    }
  }
  return metrics;
}

absl::Status Trainer::Finish() {
  HFWA_RETURN_IF_ERROR(WriteTensorsDurably(TrainingPath("last.safetensors"), LearntOnCpu()));
  // Read as the server reads it.
  HFWA_ASSIGN_OR_RETURN(const model::ModelFiles files, model::ReadModelDirectory(options_.out));
  CardFacts facts;
  facts.digest = files.digest;
  facts.frozen_digest = frozen_.digest;
  facts.data_digest = data_digest_;
  facts.images = samples_->size();
  facts.anomalous = samples_->anomalous();
  facts.without_mask = samples_->without_mask();
  facts.best_epoch = stop_.best_epoch();
  // A set that cannot be measured must not cost the card of a long run.
  absl::Status measured;
  for (const std::string& data : options_.evaluate) {
    auto metrics = Measure(data);
    measured.Update(metrics.status());
    if (!metrics.ok()) continue;
    log_ << data << ":";
    for (const auto& [name, value] : metrics->values) log_ << " " << name << " " << value;
    log_ << "\n";
    facts.metrics.push_back(*std::move(metrics));
  }
  HFWA_RETURN_IF_ERROR(WriteTextDurably(options_.out + "/MODEL_CARD.md",
                                        ModelCard(options_, config_, data_, facts, epochs_)));
  log_ << absl::StrFormat("%s: loss %.6f after epoch %d, digest %s\n", options_.out,
                          stop_.best_loss(), stop_.best_epoch() + 1, files.digest.substr(0, 12));
  return measured;
}

}  // namespace hfwa::lab::train
