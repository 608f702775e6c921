// hfwa-train: learns HFWA's contexts, adapters and text linear on a data set, or what another
// method needs.

#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <string>

#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>

#include "lab/train/trainer.h"

namespace {

using hfwa::lab::train::ImageLoss;
using hfwa::lab::train::MosaicKind;
using hfwa::lab::train::OptimizerOptions;
using hfwa::lab::train::PixelLoss;
using hfwa::lab::train::ScheduleOptions;
using hfwa::lab::train::TrainMethod;
using hfwa::lab::train::TrainOptions;

struct Arguments {
  TrainOptions options;
  int threads = 0;
  std::string precision = "fp32";
  double cache_gib = 20;
};

template <typename T>
void AddChoice(CLI::App& app, const std::string& name, T& value,
               const std::map<std::string, T>& choices, const std::string& help) {
  app.add_option(name, value, help)
      ->transform(CLI::CheckedTransformer(choices))
      ->option_text(CLI::detail::generate_map(choices, true));
}

void AddMethod(CLI::App& app, TrainMethod& method) {
  std::map<std::string, TrainMethod> choices;
  for (const TrainMethod each : hfwa::lab::train::kTrainMethods) {
    choices[hfwa::lab::train::MethodName(each)] = each;
  }
  AddChoice<TrainMethod>(app, "--method", method, choices,
                         "What is learnt: HFWA, or what hfwa-eval's method of that name needs; "
                         "defaults below are the method's");
}

void AddFiles(CLI::App& app, Arguments& a) {
  app.add_option("--model", a.options.model, "Directory of the frozen CLIP")->required();
  app.add_option("--data", a.options.data,
                 "Data set: meta.json, MVTec's folders, or good/ and others")
      ->required();
  app.add_option("--out", a.options.out, "Directory of the new model")->required();
  app.add_option("--evaluate", a.options.evaluate, "Sets to measure the new model on, for its card")
      ->delimiter(',');
  app.add_flag("--resume", a.options.resume, "Go on from the checkpoint in --out, if there is one");
  app.add_option("--checkpoint-steps", a.options.checkpoint_steps, "Updates between checkpoints")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--cache", a.options.cache, "Folder of cached features; without it none are kept");
  app.add_option("--cache-gib", a.cache_gib, "Its size at most")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
}

void AddVariant(CLI::App& app, hfwa::lab::train::VariantOptions& v) {
  app.add_option("--name", v.name, "Name of the new model");
  app.add_option("--adapter", v.adapter, "fwa, linear or none; default: as the model says")
      ->check(CLI::IsMember({"fwa", "linear", "none"}));
  app.add_option("--prompts", v.prompts,
                 "learned, template (learnt contexts in the paper's 44 states a side) or fixed; "
                 "default: as the model says")
      ->check(CLI::IsMember({"learned", "template", "fixed"}));
  app.add_flag("--share-adapter", v.share_adapter, "One linear adapter for all levels");
  app.add_flag("--residual", v.residual, "The residual encoder: adapters feed back");
  app.add_flag("--value-tokens", v.value_tokens,
               "Tokens of v-v attention beside the frozen path (AnomalyCLIP)");
  app.add_flag("--no-text-linear", v.no_text_linear, "The text pair as the tower gives it");
  app.add_option("--gamma", v.gamma, "Its share of the adapters")->check(CLI::Range(0.0, 1.0));
  app.add_option("--attn-drop", v.attn_drop, "Dropout of the windows' attention (0.1)")
      ->check(CLI::Range(0.0, 0.999));
  app.add_option("--class-names", v.class_names, "Classes with prompts of their own")
      ->delimiter(',');
}

void AddRun(CLI::App& app, Arguments& a) {
  TrainOptions& o = a.options;
  app.add_option("--epochs", o.epochs)->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--batch", o.batch)->check(CLI::Range(1, 4096))->capture_default_str();
  app.add_option("--accumulate", o.accumulate, "Batches a gradient is averaged over")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--seed", o.samples.seed)->capture_default_str();
  app.add_option("--early-stop", o.early_stop, "Epochs without a better one; 0: never")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--device", o.device, "cpu, cuda or cuda:N")->capture_default_str();
  app.add_option("--precision", a.precision, "fp32, or bf16 for linear maps")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  app.add_option("--threads", a.threads, "Threads of LibTorch; 0: one a core");
  app.add_option("--loader-threads", o.loader_threads, "Threads that read and decode ahead")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_flag("--train-split", o.samples.train_split,
               "Learn from the set's training images too, not from its test images alone");
  app.add_option("--mosaic-rate", o.samples.mosaic_rate, "Share of items replaced by mosaics")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--references", o.samples.references,
                 "Good images of its class beside each image (inctrl)")
      ->check(o.method == TrainMethod::kInctrl ? CLI::Range(1, 64) : CLI::Range(0, 0))
      ->capture_default_str();
  AddChoice<bool>(app, "--missing-masks", o.skip_missing_masks, {{"empty", false}, {"skip", true}},
                  "Anomalous images without a mask: an empty one, or no pixel loss");
  AddChoice<MosaicKind>(
      app, "--mosaic", o.samples.mosaic,
      {{"corrected", MosaicKind::kCorrected}, {"reference", MosaicKind::kReference}},
      "Whose mosaics");
}

void AddLearning(CLI::App& app, TrainOptions& o) {
  AddChoice<OptimizerOptions::Kind>(
      app, "--optimizer", o.optimizer.kind,
      {{"adamw", OptimizerOptions::Kind::kAdamW}, {"adam", OptimizerOptions::Kind::kAdam}},
      "adam has no decay");
  app.add_option("--lr", o.schedule.learning_rate)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--weight-decay", o.optimizer.weight_decay)
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  AddChoice<ScheduleOptions::Kind>(app, "--schedule", o.schedule.kind,
                                   {{"plateau", ScheduleOptions::Kind::kPlateau},
                                    {"constant", ScheduleOptions::Kind::kConstant},
                                    {"cosine", ScheduleOptions::Kind::kCosine},
                                    {"linear", ScheduleOptions::Kind::kLinear}},
                                   "Of the learning rate");
  app.add_option("--warmup", o.schedule.warmup_steps, "Updates that the rate rises over")
      ->check(CLI::NonNegativeNumber);
  AddChoice<ImageLoss>(app, "--image-loss", o.loss.image,
                       {{"probs_ce", ImageLoss::kProbsCe}, {"nll", ImageLoss::kNll}},
                       "The reference's, or the paper's");
  AddChoice<PixelLoss>(app, "--pixel-loss", o.loss.pixel,
                       {{"per_level", PixelLoss::kPerLevel}, {"fused", PixelLoss::kFused}},
                       "The reference's, or the paper's");
  for (const auto& [name, value] : {std::pair{"--lambda-dice", &o.loss.lambda_dice},
                                    std::pair{"--lambda-focal", &o.loss.lambda_focal},
                                    std::pair{"--lambda-image", &o.loss.lambda_image}}) {
    app.add_option(name, *value)->check(CLI::NonNegativeNumber)->capture_default_str();
  }
}

int Fail(const absl::Status& status) {
  std::cerr << "hfwa-train: " << status.message() << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  // The method first: the others' defaults depend on it.
  Arguments arguments;
  {
    TrainMethod method = TrainMethod::kHfwa;
    CLI::App first("", "hfwa-train");
    first.allow_extras()->set_help_flag();
    AddMethod(first, method);
    CLI11_PARSE(first, argc, argv);
    arguments.options = hfwa::lab::train::DefaultsOf(method);
  }
  CLI::App app("Learns HFWA's contexts, adapters and text linear over a frozen CLIP", "hfwa-train");
  AddMethod(app, arguments.options.method);
  AddFiles(app, arguments);
  AddVariant(app, arguments.options.variant);
  AddRun(app, arguments);
  AddLearning(app, arguments.options);
  CLI11_PARSE(app, argc, argv);
  // What cuBLAS wants to repeat to the bit; read when a GPU is first used.
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  if (arguments.threads > 0) at::set_num_threads(arguments.threads);
  arguments.options.bf16 = arguments.precision == "bf16";
  arguments.options.cache_bytes = static_cast<int64_t>(arguments.cache_gib * (int64_t{1} << 30));
  const auto trainer =
      hfwa::lab::train::Trainer::Create(arguments.options, std::cerr, ::isatty(STDERR_FILENO) == 1);
  if (!trainer.ok()) return Fail(trainer.status());
  const absl::Status status = (*trainer)->Run();
  return status.ok() ? 0 : Fail(status);
}
