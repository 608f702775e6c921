#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"
#include "core/model/safetensors.h"
#include "core/model/torch_errors.h"
#include "lab/fixture.h"
#include "lab/parity.h"
#include "lab/train/learnable.h"
#include "lab/train/losses.h"
#include "lab/train/optimizer.h"

namespace hfwa::lab {
namespace {

using nlohmann::json;

// Its gradient is 0, not absent: the fixture's trap.
constexpr double kScaleMax = 4.605170185988092;  // ln 100

// The frozen part's forward pass, once: training sees its taps alone.
absl::StatusOr<train::Features> FrozenFeatures(const model::ModelConfig& config,
                                               const model::Weights& weights,
                                               const at::Tensor& images) {
  const at::NoGradGuard no_grad;
  const auto kernels = kernels::MakeAtenKernels(at::kCPU, at::kFloat);
  HFWA_ASSIGN_OR_RETURN(const auto tower, model::VisionTower::Load(config, weights, *kernels));
  train::Features features;
  features.taps.resize(config.taps.size());
  features.image = tower->Forward(
      images, /*want_image_feature=*/true,
      [&](int level, at::Tensor& x) { features.taps[level] = x.slice(1, 1).clone(); },
      model::Trace());
  return features;
}

class TrainRun {
 public:
  explicit TrainRun(const std::string& folder) : folder_(folder) {}

  absl::StatusOr<Report> Run() {
    HFWA_RETURN_IF_ERROR(Read());
    for (const char* name : {"adamw", "adam"}) HFWA_RETURN_IF_ERROR(RunOptimizer(name));
    return std::move(report_);
  }

 private:
  absl::Status Read();
  absl::Status RunOptimizer(const std::string& name);
  absl::StatusOr<train::LossParts> Loss(train::Learnable& learnable, bool first);
  void CompareForward(const train::TrainForward& forward);
  void CompareLosses(const train::LossParts& parts, const std::string& optimizer, int step);
  void CompareGradients(const train::Learnable& learnable);
  absl::Status CompareParameters(const train::Learnable& learnable, const std::string& optimizer,
                                 int step);
  void CompareClamped(const at::Tensor& value, const std::string& name,
                      const std::string& optimizer, int step);

  double Limit(const char* name, const char* field = "tolerance") const {
    return tolerances_.at(name).at(field).get<double>();
  }
  std::string Path(const std::string& file) const { return folder_ + "/" + file; }

  const std::string folder_;
  Report report_;
  model::ModelConfig config_;
  model::Weights frozen_;
  Tensors learnt_, batch_, forward_, gradients_;
  json config_json_, losses_, tolerances_;
  train::Features features_;
  at::Tensor classes_, masks_;
};

absl::Status TrainRun::Read() {
  HFWA_ASSIGN_OR_RETURN(Fixture fixture, ReadFixture(folder_));
  HFWA_ASSIGN_OR_RETURN(config_, model::ParseModelConfig(fixture.config_text));
  config_json_ = fixture.config;
  for (const auto& [name, tensor] : fixture.weights) {
    if (train::IsLearnt(name)) {
      learnt_[name] = tensor;
    } else {
      frozen_.Set(name, tensor);
    }
  }
  HFWA_ASSIGN_OR_RETURN(batch_, model::ReadAllTensors(Path("batch.safetensors")));
  HFWA_ASSIGN_OR_RETURN(forward_, model::ReadAllTensors(Path("forward_step0.safetensors")));
  HFWA_ASSIGN_OR_RETURN(gradients_, model::ReadAllTensors(Path("grads_step0.safetensors")));
  HFWA_ASSIGN_OR_RETURN(losses_, ReadJson(Path("expected_losses.json")));
  HFWA_ASSIGN_OR_RETURN(tolerances_, ReadJson(Path("tolerances.json")));
  HFWA_ASSIGN_OR_RETURN(features_, FrozenFeatures(config_, frozen_, batch_.at("images")));
  // Names that the model does not know are class 0 (training spec 2.11).
  std::vector<int64_t> classes;
  for (const auto& name : config_json_.at("request_classes")) {
    const auto& known = config_.prompt.class_names;
    const auto found = std::find(known.begin(), known.end(), name.get<std::string>());
    classes.push_back(found == known.end() ? 0 : found - known.begin());
  }
  classes_ = at::tensor(classes, at::kLong);
  masks_ = (batch_.at("masks_u8").squeeze(1) > 0).to(at::kFloat);
  return absl::OkStatus();
}

absl::StatusOr<train::LossParts> TrainRun::Loss(train::Learnable& learnable, bool first) {
  HFWA_ASSIGN_OR_RETURN(const train::TrainForward forward, learnable.Forward(features_, classes_));
  if (first) CompareForward(forward);
  return train::ComputeLoss(forward.text_probs, forward.pixel_logits, batch_.at("labels"), masks_,
                            {});
}

absl::Status TrainRun::RunOptimizer(const std::string& name) {
  const json& given = config_json_.at("optimizers").at(name);
  train::OptimizerOptions options;
  options.kind = name == "adamw" ? train::OptimizerOptions::Kind::kAdamW
                                 : train::OptimizerOptions::Kind::kAdam;
  options.weight_decay = given.at("weight_decay").get<double>();
  options.eps = given.at("eps").get<double>();
  options.beta1 = given.at("betas").at(0).get<double>();
  options.beta2 = given.at("betas").at(1).get<double>();
  const model::PromptTokens tokens = {batch_.at("tokens_normal").unsqueeze(0),
                                      batch_.at("tokens_abnormal").unsqueeze(0)};
  HFWA_ASSIGN_OR_RETURN(const auto learnable,
                        train::Learnable::Create(config_, frozen_, learnt_, tokens, {}));
  train::Optimizer optimizer(learnable->parameters(), options);
  const bool first = name == "adamw";
  for (int step = 0; step <= 3; ++step) {
    optimizer.ZeroGradients();
    HFWA_ASSIGN_OR_RETURN(const train::LossParts parts, Loss(*learnable, first && step == 0));
    CompareLosses(parts, name, step);
    if (step == 3) break;
    parts.total.backward();
    if (first && step == 0) CompareGradients(*learnable);
    optimizer.Step(given.at("lr").get<double>());
    if (step != 1) HFWA_RETURN_IF_ERROR(CompareParameters(*learnable, name, step + 1));
  }
  return absl::OkStatus();
}

void TrainRun::CompareForward(const train::TrainForward& forward) {
  report_.Compare("text_probs", forward.text_probs.detach(), forward_.at("text_probs"),
                  Limit("text_probs_abs"));
  at::Tensor sum = at::zeros_like(forward.pixel_logits.front());
  for (const at::Tensor& level : forward.pixel_logits) sum = sum + at::sigmoid(level.detach());
  report_.Compare("abnormal_map_sum_first2", sum.slice(0, 0, 2),
                  forward_.at("abnormal_map_sum_first2"), Limit("abnormal_map_sum_first2_abs"));
}

void TrainRun::CompareLosses(const train::LossParts& parts, const std::string& optimizer,
                             int step) {
  const json& expected = losses_.at(optimizer).at(step);
  const auto compare = [&](const std::string& name, const at::Tensor& value, double wanted) {
    report_.Compare(absl::StrFormat("%s.%d.%s", optimizer, step, name), value.detach(),
                    at::scalar_tensor(wanted, at::kDouble), Limit("loss_abs"));
  };
  compare("loss", parts.total, expected.at("total").get<double>());
  compare("ce", parts.ce, expected.at("ce").get<double>());
  compare("focal", parts.focal, expected.at("focal").get<double>());
  compare("dice", parts.dice, expected.at("dice").get<double>());
  const auto levels = [&](const char* name, const std::vector<at::Tensor>& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      compare(absl::StrCat(name, ".", i), values[i], expected.at(name).at(i).get<double>());
    }
  };
  levels("focal_per_level", parts.focal_levels);
  levels("dice_abnormal_per_level", parts.dice_anomaly_levels);
  levels("dice_normal_per_level", parts.dice_normal_levels);
}

void TrainRun::CompareGradients(const train::Learnable& learnable) {
  for (const auto& [name, parameter] : learnable.parameters()) {
    const std::string row = "grad." + name;
    if (!parameter.grad().defined() || gradients_.count(name) == 0) {
      report_.Missing(row, "no gradient");
      continue;
    }
    const double largest = tolerances_.at("grad_max_abs_per_tensor").at(name).get<double>();
    report_.Compare(row, parameter.grad(), gradients_.at(name),
                    largest * Limit("grad_rel_to_tensor_max"));
    CompareClamped(parameter, name, "", 0);
  }
}

absl::Status TrainRun::CompareParameters(const train::Learnable& learnable,
                                         const std::string& optimizer, int step) {
  HFWA_ASSIGN_OR_RETURN(
      const Tensors expected,
      model::ReadAllTensors(Path(absl::StrFormat("%s_step%d.safetensors", optimizer, step))));
  const double tolerance =
      Limit(absl::StrFormat("%s_step%d_params", optimizer, step).c_str(), "tolerance_settled");
  const double lr = config_json_.at("optimizers").at(optimizer).at("lr").get<double>();
  for (const auto& [name, wanted] : expected) {
    const auto found = learnable.parameters().find(name);
    const std::string row = absl::StrFormat("%s.step%d.%s", optimizer, step, name);
    if (found == learnable.parameters().end()) {
      report_.Missing(row, "not a parameter");
      continue;
    }
    // Elements whose gradient is rounding noise move by lr at random: "settled" leaves them out.
    const at::Tensor gradient = gradients_.at(name).abs();
    const double least = std::max(1e-4 * gradient.max().item<double>(), 1e-7);
    const at::Tensor settled = gradient >= least;
    const at::Tensor value = found->second.detach();
    report_.Compare(row, value.masked_select(settled), wanted.masked_select(settled), tolerance);
    if (!settled.all().item<bool>()) {
      report_.Compare(row + ".unsettled", value.masked_select(~settled),
                      wanted.masked_select(~settled), 2 * lr * step);
    }
    CompareClamped(value, name, optimizer, step);
  }
  return absl::OkStatus();
}

// Elements of logit_scale above ln 100 are compared exactly: gradient 0, Adam leaves them, AdamW
// decays them, one rounding a step.
void TrainRun::CompareClamped(const at::Tensor& value, const std::string& name,
                              const std::string& optimizer, int step) {
  if (name.find("logit_scale") == std::string::npos) return;
  const at::Tensor start = learnt_.at(name);
  const at::Tensor above = start > kScaleMax;
  if (!above.any().item<bool>()) return;
  if (optimizer.empty()) {
    report_.Check(
        "grad." + name + ".clamped",
        value.grad().defined() && !value.grad().masked_select(above).ne(0).any().item<bool>(),
        "the gradient above ln 100 is not 0");
    return;
  }
  const json& options = config_json_.at("optimizers").at(optimizer);
  const double factor =
      1.0 - options.at("lr").get<double>() * options.at("weight_decay").get<double>();
  at::Tensor wanted = start.to(at::kDouble) * std::pow(factor, step);
  const double rounding = optimizer == "adam" ? 0.0 : step * 0x1p-22;  // half a unit in 4..8
  report_.Compare(absl::StrFormat("%s.step%d.%s.clamped", optimizer, step, name),
                  value.masked_select(above), wanted.masked_select(above), rounding);
}

}  // namespace

absl::StatusOr<Report> TrainParity(const std::string& folder) {
  try {
    return TrainRun(folder).Run();
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(folder, ": ", error.what()));
  } catch (const std::exception& error) {
    return model::StatusFromException(error);
  }
}

}  // namespace hfwa::lab
