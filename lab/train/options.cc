#include "lab/train/options.h"

#include "lab/learnt_file.h"

namespace hfwa::lab::train {
namespace {

const char* ScheduleName(ScheduleOptions::Kind kind) {
  switch (kind) {
    case ScheduleOptions::Kind::kPlateau:
      return "plateau";
    case ScheduleOptions::Kind::kConstant:
      return "constant";
    case ScheduleOptions::Kind::kCosine:
      return "cosine";
    case ScheduleOptions::Kind::kLinear:
      return "linear";
  }
  return "plateau";
}

}  // namespace

const char* MethodName(TrainMethod method) {
  switch (method) {
    case TrainMethod::kHfwa:
      return "hfwa";
    case TrainMethod::kInctrl:
      return "inctrl";
  }
  return "hfwa";
}

std::string LearntFile(TrainMethod method) {
  return method == TrainMethod::kHfwa ? "learned.safetensors" : LearntFileName(MethodName(method));
}

TrainOptions DefaultsOf(TrainMethod method) {
  TrainOptions options;
  options.method = method;
  if (method == TrainMethod::kInctrl) {
    options.optimizer.weight_decay = 0.01;
    options.batch = 48;
    options.epochs = 10;
    options.samples.mosaic_rate = 0;
    options.samples.masks = false;
    options.samples.references = 2;
  }
  return options;
}

nlohmann::json Identity(const TrainOptions& options) {
  const LossOptions& loss = options.loss;
  const ScheduleOptions& schedule = options.schedule;
  nlohmann::json identity = {
      {"method", MethodName(options.method)},
      {"references", options.samples.references},
      {"batch", options.batch},
      {"accumulate", options.accumulate},
      {"seed", options.samples.seed},
      {"image_loss", loss.image == ImageLoss::kProbsCe ? "probs_ce" : "nll"},
      {"pixel_loss", loss.pixel == PixelLoss::kPerLevel ? "per_level" : "fused"},
      {"lambda_dice", loss.lambda_dice},
      {"lambda_focal", loss.lambda_focal},
      {"lambda_image", loss.lambda_image},
      {"optimizer", options.optimizer.kind == OptimizerOptions::Kind::kAdamW ? "adamw" : "adam"},
      {"weight_decay", options.optimizer.weight_decay},
      {"learning_rate", schedule.learning_rate},
      {"schedule", ScheduleName(schedule.kind)},
      {"warmup", schedule.warmup_steps},
      {"early_stop", options.early_stop},
      {"mosaic_rate", options.samples.mosaic_rate},
      {"mosaic", options.samples.mosaic == MosaicKind::kCorrected ? "corrected" : "reference"},
      {"missing_masks", options.skip_missing_masks ? "skip" : "empty"},
      {"train_split", options.samples.train_split},
      {"precision", options.bf16 ? "bf16" : "fp32"},
      {"device", options.device.substr(0, options.device.find(':'))},
  };
  // Without an end that the learning rate heads for, a run may be made longer.
  const bool open_ended = schedule.kind == ScheduleOptions::Kind::kPlateau ||
                          schedule.kind == ScheduleOptions::Kind::kConstant;
  if (!open_ended) identity["epochs"] = options.epochs;
  return identity;
}

}  // namespace hfwa::lab::train
