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
#include "lab/train/hfwa_learner.h"
#include "lab/train/inctrl_learner.h"
#include "lab/train/output.h"
#include "lab/train/random.h"

namespace hfwa::lab::train {
namespace {

constexpr char kCheckpoint[] = "checkpoint.safetensors";
constexpr char kParameter[] = "p.";

nlohmann::json ToJson(const LossValues& values) {
  return {{"total", values.total}, {"parts", values.parts}};
}
// Throws JSON's exceptions; `count` parts, or none yet.
LossValues LossesFrom(const nlohmann::json& json, size_t count) {
  LossValues losses = {json.at("total").get<double>(), json.at("parts").get<std::vector<double>>()};
  if (!losses.parts.empty()) losses.parts.resize(count);
  return losses;
}
void AddTo(LossValues& sums, const LossValues& losses) {
  sums.total += losses.total;
  sums.parts.resize(losses.parts.size());
  for (size_t i = 0; i < losses.parts.size(); ++i) sums.parts[i] += losses.parts[i];
}
LossValues Divided(LossValues sums, int64_t count) {
  const auto n = static_cast<double>(std::max<int64_t>(1, count));
  sums.total /= n;
  for (double& part : sums.parts) part /= n;
  return sums;
}
// A row of numbers for a log: those before, the losses, those after.
std::vector<double> Row(std::vector<double> row, const LossValues& losses,
                        const std::vector<double>& after) {
  row.push_back(losses.total);
  row.insert(row.end(), losses.parts.begin(), losses.parts.end());
  row.insert(row.end(), after.begin(), after.end());
  return row;
}

nlohmann::json ToJson(const EpochResult& result) {
  return {{"epoch", result.epoch},
          {"losses", ToJson(result.losses)},
          {"learning_rate", result.learning_rate},
          {"seconds_per_image", result.seconds_per_image},
          {"images", result.images},
          {"backbone_images", result.backbone_images}};
}
EpochResult EpochFrom(const nlohmann::json& json, size_t loss_parts) {
  EpochResult result;
  result.epoch = json.at("epoch").get<int>();
  result.losses = LossesFrom(json.at("losses"), loss_parts);
  result.learning_rate = json.at("learning_rate").get<double>();
  result.seconds_per_image = json.at("seconds_per_image").get<double>();
  result.images = json.at("images").get<int64_t>();
  result.backbone_images = json.at("backbone_images").get<int64_t>();
  return result;
}

at::ScalarType ComputeType(const TrainOptions& options) {
  return options.bf16 ? at::kBFloat16 : at::kFloat;
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
  HFWA_RETURN_IF_ERROR(MakeLearner());
  frozen_.weights = model::Weights();
  HFWA_RETURN_IF_ERROR(MakeSamples());
  HFWA_ASSIGN_OR_RETURN(lock_, LockOutput(options_.model, options_.out));
  HFWA_RETURN_IF_ERROR(PrepareOutput(options_.model, frozen_, config_json_, options_.out));
  const int64_t updates = (loader_->batches() + options_.accumulate - 1) / options_.accumulate;
  schedule_ = std::make_unique<Schedule>(options_.schedule, updates * options_.epochs);
  optimizer_ = std::make_unique<Optimizer>(learner_->parameters(), options_.optimizer);
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
  HFWA_RETURN_IF_ERROR(TakeOtherLearnt());
  if (config_.residual_encoder) return absl::OkStatus();
  HFWA_ASSIGN_OR_RETURN(std::unique_ptr<Backbone> backbone,
                        Backbone::Create(config_, frozen_.weights, device_, ComputeType(options_)));
  std::unique_ptr<FeatureCache> cache;
  if (!options_.cache.empty()) {
    cache = std::make_unique<FeatureCache>(
        options_.cache, absl::StrCat(frozen_.digest, " ", backbone->Fingerprint()),
        Backbone::Values(config_), options_.cache_bytes);
  }
  features_ = std::make_unique<FeatureSource>(std::move(backbone), std::move(cache), device_);
  return absl::OkStatus();
}

absl::Status Trainer::TakeOtherLearnt() {
  for (const TrainMethod method : kTrainMethods) {
    const std::string name = LearntFile(method);
    std::error_code error;
    if (method != options_.method && std::filesystem::exists(options_.model + "/" + name, error)) {
      frozen_.files.push_back(name);
    }
  }
  if (options_.method == TrainMethod::kHfwa) return absl::OkStatus();
  const std::string hfwa = LearntFile(TrainMethod::kHfwa);
  if (std::find(frozen_.files.begin(), frozen_.files.end(), hfwa) == frozen_.files.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat(options_.model, ": lacks ", hfwa,
                     ", without which neither hfwa-eval nor hfwa-server reads a model; hfwa-train "
                     "without --method makes it"));
  }
  HFWA_ASSIGN_OR_RETURN(const std::string unchanged, VariantConfig(frozen_.config_json, {}));
  if (config_json_ != unchanged) {
    return absl::InvalidArgumentError(absl::StrCat("--method ", MethodName(options_.method),
                                                   " takes the model as it is, without variants"));
  }
  if (config_.residual_encoder) {
    return absl::FailedPreconditionError(absl::StrCat(
        options_.model, ": with the residual encoder features are not the frozen tower's alone"));
  }
  config_json_ = frozen_.config_json;  // to the byte, so that the model's digest stays
  return absl::OkStatus();
}

absl::Status Trainer::LoadData() {
  HFWA_ASSIGN_OR_RETURN(data_, ReadDataSet(options_.data));
  for (const Problem& problem : data_.problems) log_ << "warning: " << ToString(problem) << "\n";
  data_digest_ = Sha256Hex(ToMetaJson(data_));
  return absl::OkStatus();
}

absl::Status Trainer::MakeLearner() {
  if (options_.method == TrainMethod::kInctrl) {
    HFWA_ASSIGN_OR_RETURN(learner_, InctrlLearner::Create(frozen_, data_, *features_,
                                                          options_.samples.seed, device_));
    return absl::OkStatus();
  }
  HFWA_ASSIGN_OR_RETURN(const model::PromptTokens tokens,
                        model::TokenizePrompts(config_, frozen_.merges));
  HFWA_ASSIGN_OR_RETURN(
      std::unique_ptr<Learnable> learnable,
      Learnable::Create(config_, frozen_.weights, InitialTensors(config_, options_.samples.seed),
                        tokens, {.device = device_, .type = ComputeType(options_)}));
  learner_ = std::make_unique<HfwaLearner>(std::move(learnable), features_.get(), options_.loss,
                                           options_.skip_missing_masks, device_);
  return absl::OkStatus();
}

absl::Status Trainer::MakeSamples() {
  HFWA_ASSIGN_OR_RETURN(samples_,
                        Samples::Create(data_, config_, options_.samples,
                                        features_ != nullptr ? features_->cache() : nullptr));
  if (options_.samples.masks && samples_->without_mask() > 0) {
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
  const std::string losses = absl::StrCat("loss,", absl::StrJoin(learner_->loss_parts(), ","));
  HFWA_RETURN_IF_ERROR(steps_csv_.Open(TrainingPath("steps.csv"),
                                       absl::StrCat("step,epoch,learning_rate,", losses),
                                       optimizer_->steps()));
  HFWA_RETURN_IF_ERROR(epochs_csv_.Open(
      TrainingPath("epochs.csv"),
      absl::StrCat("epoch,learning_rate,", losses, ",seconds_per_image,images,backbone_images"),
      epoch_));
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
    for (const auto& [name, parameter] : learner_->parameters()) {
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
    const size_t parts = learner_->loss_parts().size();
    sums_ = LossesFrom(state.at("sums"), parts);
    for (const auto& epoch : state.at("epochs")) epochs_.push_back(EpochFrom(epoch, parts));
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
  for (auto& [name, tensor] : OnCpu(learner_->parameters()))
    checkpoint.tensors[kParameter + name] = tensor;
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
  loader_->Start(epoch_, batch_);
  progress_.Start(epoch_, options_.epochs, images, first, learner_->loss_parts());
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
  result.backbone_images = learner_->TakeComputed();
  return result;
}

int64_t Trainer::GroupSize() const {
  const int64_t start = batch_ / options_.accumulate * options_.accumulate;
  return std::min(options_.accumulate, loader_->batches() - start);
}

absl::StatusOr<LossValues> Trainer::RunBatch(std::vector<Sample> samples) {
  Random draws(options_.samples.seed, "dropout", static_cast<uint64_t>(epoch_),
               static_cast<uint64_t>(batch_));
  HFWA_ASSIGN_OR_RETURN(const Learner::BatchLoss loss, learner_->Loss(samples, draws.Next()));
  LossValues losses;
  losses.total = loss.total.item<double>();
  for (const at::Tensor& part : loss.parts) losses.parts.push_back(part.item<double>());
  if (!std::isfinite(losses.total)) {
    return absl::InternalError(absl::StrFormat(
        "the loss is not finite in epoch %d, batch %d; a smaller learning rate may help",
        epoch_ + 1, batch_ + 1));
  }
  const int64_t group = GroupSize();
  (group == 1 ? loss.total : loss.total / group).backward();
  AddTo(sums_, losses);
  const bool complete = batch_ % options_.accumulate == group - 1;
  ++batch_;
  if (complete) HFWA_RETURN_IF_ERROR(Update(losses));
  return losses;
}

absl::Status Trainer::Update(const LossValues& losses) {
  const double rate = schedule_->LearningRate(optimizer_->steps());
  optimizer_->Step(rate);
  optimizer_->ZeroGradients();
  const int64_t step = optimizer_->steps();
  steps_csv_.Add(step, Row({static_cast<double>(epoch_ + 1), rate}, losses, {}));
  events_.Scalar("loss/total", step, losses.total);
  const std::vector<std::string> parts = learner_->loss_parts();
  for (size_t i = 0; i < parts.size(); ++i) {
    events_.Scalar("loss/" + parts[i], step, losses.parts[i]);
  }
  events_.Scalar("learning_rate", step, rate);
  // The epoch's end has a checkpoint of its own.
  if (batch_ < loader_->batches() && step % options_.checkpoint_steps == 0) return Save();
  return absl::OkStatus();
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
    HFWA_RETURN_IF_ERROR(WriteTensorsDurably(
        absl::StrCat(options_.out, "/", LearntFile(options_.method)), learner_->ToWrite()));
  }
  HFWA_RETURN_IF_ERROR(Save());
  epochs_csv_.Add(epoch_, Row({result.learning_rate}, losses,
                              {result.seconds_per_image, static_cast<double>(result.images),
                               static_cast<double>(result.backbone_images)}));
  events_.Scalar("epoch/loss", epoch_, losses.total);
  events_.Scalar("epoch/seconds_per_image", epoch_, result.seconds_per_image);
  events_.Flush();
  progress_.Finish(absl::StrFormat(
      "epoch %d/%d  %s  %.4f s/image, %d through the backbone for %d%s", epoch_, options_.epochs,
      ToText(losses, learner_->loss_parts(), 6), result.seconds_per_image, result.backbone_images,
      result.images, best ? "  *" : ""));
  return absl::OkStatus();
}

absl::StatusOr<CardMetrics> Trainer::Measure(const std::string& data) const {
  EvaluationOptions options;
  options.data = data;
  options.model = options_.out;
  options.methods = {MethodName(options_.method)};
  options.shots = {options_.samples.references};
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
  HFWA_RETURN_IF_ERROR(WriteTensorsDurably(TrainingPath("last.safetensors"), learner_->ToWrite()));
  // Read as the server reads it.
  HFWA_ASSIGN_OR_RETURN(const model::ModelFiles files, model::ReadModelDirectory(options_.out));
  CardFacts facts;
  facts.digest = files.digest;
  facts.frozen_digest = frozen_.digest;
  facts.data_digest = data_digest_;
  facts.images = samples_->size();
  facts.anomalous = samples_->anomalous();
  facts.without_mask = samples_->without_mask();
  facts.loss_parts = learner_->loss_parts();
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
