#include "lab/train/promptad.h"

#include <cmath>
#include <numbers>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/base/status_macros.h"
#include "lab/train/autograd_kernels.h"
#include "lab/train/initial.h"
#include "lab/train/optimizer.h"
#include "lab/train/prompt_sets.h"

namespace hfwa::lab::train {
namespace {

constexpr int kContextLength = 4;
constexpr int kSuffixes = 4;
constexpr int kSuffixLength = 1;
constexpr double kDeviation = 0.02;

constexpr double kScale = 100;  // CLIP's, of its cosines
constexpr double kMargin = 0;
constexpr double kAlignmentFactor = 0.001;

constexpr int kSteps = 100;
constexpr double kLearningRate = 0.002;
constexpr double kLearningRateMin = 1e-5;
constexpr double kMomentum = 0.9;
constexpr double kDecay = 0.0005;

at::Tensor Unit(const at::Tensor& x) { return x / x.norm(2, {-1}, /*keepdim=*/true); }

at::Tensor Anomalous(const PromptFeatures& prompts) {
  return at::cat({prompts.manual, prompts.learnt});
}

// "X " for each learnt vector: a token that is replaced.
std::string Places(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "X ";
  return text;
}

// The rows with `vectors` [R, V, D] at places first, first + 1, ... of each.
at::Tensor Replaced(const at::Tensor& rows, int64_t first, const at::Tensor& vectors) {
  return at::cat({rows.slice(1, 0, first), vectors, rows.slice(1, first + vectors.size(1))}, 1);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PromptadText>> PromptadText::Create(const model::ModelConfig& config,
                                                                   const model::Weights& weights,
                                                                   const std::string& merges,
                                                                   at::Device device) {
  HFWA_ASSIGN_OR_RETURN(model::Tokenizer tokenizer,
                        model::Tokenizer::Create(merges, config.text->vocab_size));
  std::unique_ptr<PromptadText> text(new PromptadText(std::move(tokenizer), device));
  text->context_length_ = config.text->context_length;
  HFWA_ASSIGN_OR_RETURN(text->table_, weights.Get("token_embedding.weight",
                                                  {config.text->vocab_size, config.text->width}));
  // The kernels take weights as they are.
  model::Weights on_device;
  for (const auto& [name, tensor] : weights.tensors()) {
    if (name.rfind("visual", 0) != 0) on_device.Set(name, tensor.to(device));
  }
  HFWA_ASSIGN_OR_RETURN(
      text->tower_,
      model::TextTower::Load(config, on_device, MakeAutogradKernels({.device = device})));
  return text;
}

absl::StatusOr<PromptadText::Embedded> PromptadText::Embed(
    const std::vector<std::string>& texts) const {
  std::vector<at::Tensor> rows;
  for (const std::string& text : texts) {
    const auto ids = tokenizer_.EncodeRow(text, context_length_);
    if (!ids.ok()) {
      return absl::FailedPreconditionError(absl::StrCat("the prompts: ", ids.status().message()));
    }
    rows.push_back(at::tensor(*ids, at::kLong));
  }
  const at::Tensor ids = at::stack(rows);
  return Embedded{at::embedding(table_, ids).to(device_), ids.argmax(1).to(device_)};
}

absl::StatusOr<std::unique_ptr<PromptadPrompts>> PromptadPrompts::Create(
    const PromptadText& text, const std::string& class_name, int normal_prompts, uint64_t seed) {
  const at::NoGradGuard no_grad;
  std::unique_ptr<PromptadPrompts> prompts(new PromptadPrompts(text));
  const std::string name = ClassWords(class_name);
  const std::string context = Places(kContextLength);
  std::vector<std::string> manual;
  for (const std::string& state : FixedStatesAnomaly()) {
    manual.push_back(absl::StrCat(context, absl::StrReplaceAll(state, {{"{}", name}}), "."));
  }
  HFWA_ASSIGN_OR_RETURN(prompts->normal_, text.Embed({absl::StrCat(context, name, ".")}));
  HFWA_ASSIGN_OR_RETURN(prompts->manual_, text.Embed(manual));
  // No space before the full stop: it is a token of its own all the same.
  HFWA_ASSIGN_OR_RETURN(
      prompts->learnt_,
      text.Embed({absl::StrCat(context, name, " ", Places(kSuffixLength - 1), "X.")}));
  const int64_t width = prompts->normal_.embeddings.size(2);
  Random contexts(seed, "promptad.contexts"), suffixes(seed, "promptad.suffixes");
  prompts->parameters_ = {
      {"contexts", DrawNormal({normal_prompts, kContextLength, width}, kDeviation, contexts)},
      {"suffixes", DrawNormal({kSuffixes, kSuffixLength, width}, kDeviation, suffixes)}};
  for (auto& [of, leaf] : prompts->parameters_) {
    leaf = leaf.to(text.device()).set_requires_grad(true);
  }
  return prompts;
}

PromptFeatures PromptadPrompts::Encode() const {
  const at::Tensor& contexts = parameters_.at("contexts");
  const at::Tensor& suffixes = parameters_.at("suffixes");
  const int64_t count = contexts.size(0);
  // Each row of a kind once for every normal context: row-major, contexts fastest.
  const auto with_contexts = [&](const at::Tensor& rows) {
    return Replaced(rows.repeat_interleave(count, 0), 1, contexts.repeat({rows.size(0), 1, 1}));
  };
  // Before the full stop and the end.
  const int64_t place = learnt_.end_of_text[0].item<int64_t>() - 1 - kSuffixLength;
  const at::Tensor suffixed =
      Replaced(learnt_.embeddings.expand({kSuffixes, -1, -1}), place, suffixes);
  const std::vector<at::Tensor> rows = {with_contexts(normal_.embeddings),
                                        with_contexts(manual_.embeddings), with_contexts(suffixed)};
  const at::Tensor ends =
      at::cat({normal_.end_of_text.repeat_interleave(count, 0),
               manual_.end_of_text.repeat_interleave(count, 0),
               learnt_.end_of_text.expand({kSuffixes}).repeat_interleave(count, 0)});
  const std::vector<at::Tensor> features =
      text_.tower()
          .Encode(at::cat(rows), ends)
          .split_with_sizes({rows[0].size(0), rows[1].size(0), rows[2].size(0)});
  return {features[0], features[1], features[2]};
}

at::Tensor Prototypes(const PromptFeatures& prompts) {
  return Unit(at::stack({prompts.normal.mean(0), Anomalous(prompts).mean(0)}));
}

PromptadLoss ComputePromptadLoss(const at::Tensor& features, const PromptFeatures& prompts) {
  const at::Tensor prototypes = Prototypes(prompts);
  const at::Tensor normal = prototypes[0], anomaly = prototypes[1];
  const at::Tensor logits =
      kScale * at::matmul(features, at::cat({normal.unsqueeze(0), Unit(Anomalous(prompts))}).t());
  PromptadLoss loss;
  loss.contrast = -at::log_softmax(logits, 1).select(1, 0).mean();
  const auto distance = [&](const at::Tensor& to) { return (features - to).norm(2, {1}); };
  loss.margin = at::relu(distance(normal) - distance(anomaly) + kMargin).mean();
  loss.alignment = (Unit(prompts.manual).mean(0) - Unit(prompts.learnt).mean(0)).square().sum();
  loss.total = loss.contrast + loss.margin + kAlignmentFactor * loss.alignment;
  return loss;
}

at::Tensor AnomalyOf(const at::Tensor& features, const at::Tensor& prototypes) {
  return at::softmax(kScale * at::matmul(features, prototypes.t()), 1).select(1, 1);
}

absl::StatusOr<at::Tensor> LearnPrototypes(const PromptadText& text, const std::string& class_name,
                                           int normal_prompts, const at::Tensor& features,
                                           uint64_t seed, std::vector<double>* losses) {
  const at::AutoGradMode grad(true);
  HFWA_ASSIGN_OR_RETURN(const std::unique_ptr<PromptadPrompts> prompts,
                        PromptadPrompts::Create(text, class_name, normal_prompts, seed));
  OptimizerOptions options;
  options.kind = OptimizerOptions::Kind::kSgd;
  options.beta1 = kMomentum;
  options.weight_decay = kDecay;
  Optimizer optimizer(prompts->parameters(), options);
  const at::Tensor wanted = features.detach().to(text.device());
  for (int step = 0; step < kSteps; ++step) {
    optimizer.ZeroGradients();
    const at::Tensor loss = ComputePromptadLoss(wanted, prompts->Encode()).total;
    loss.backward();
    const double fallen = 0.5 * (1 + std::cos(std::numbers::pi * step / kSteps));
    optimizer.Step(kLearningRateMin + (kLearningRate - kLearningRateMin) * fallen);
    if (losses != nullptr) losses->push_back(loss.item<double>());
  }
  const at::NoGradGuard no_grad;
  return Prototypes(prompts->Encode());
}

}  // namespace hfwa::lab::train
