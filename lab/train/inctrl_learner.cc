#include "lab/train/inctrl_learner.h"

#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "core/base/status_macros.h"
#include "core/model/layers.h"
#include "lab/eval/prompt_ensemble.h"
#include "lab/learnt_file.h"

namespace hfwa::lab::train {
namespace {

constexpr double kUnitEpsilon = 1e-12;

}  // namespace

absl::StatusOr<std::unique_ptr<InctrlLearner>> InctrlLearner::Create(
    const model::FrozenModel& frozen, const DataSet& data, FeatureSource& features, uint64_t seed,
    at::Device device) {
  const model::ModelConfig& config = frozen.config;
  std::unique_ptr<InctrlLearner> learner(new InctrlLearner(features, device));
  learner->backbone_ = LearntOver(config, frozen.digest);
  for (int level = 0; level < config.levels(); ++level) {
    HFWA_ASSIGN_OR_RETURN(kernels::LinearWeights projection,
                          model::LoadTokenProjection(config, frozen.weights, level));
    projection.weight = projection.weight.to(device);
    if (projection.bias.defined()) projection.bias = projection.bias.to(device);
    learner->projections_.push_back(std::move(projection));
  }
  HFWA_ASSIGN_OR_RETURN(const std::unique_ptr<PromptEnsemble> prompts,
                        PromptEnsemble::Create(config, frozen.weights, frozen.merges, "inctrl"));
  std::vector<at::Tensor> pairs;
  for (const ItemClass& of : data.classes) {
    HFWA_ASSIGN_OR_RETURN(pairs.emplace_back(), prompts->Pair(of.name));
  }
  learner->text_pairs_ = at::stack(pairs).to(device);
  HFWA_ASSIGN_OR_RETURN(learner->inctrl_,
                        Inctrl::Create(config, Inctrl::Initial(config, seed), device));
  return learner;
}

at::Tensor InctrlLearner::UnitTokens(const Features& features) const {
  std::vector<at::Tensor> levels;
  for (size_t level = 0; level < projections_.size(); ++level) {
    const kernels::LinearWeights& projection = projections_[level];
    const at::Tensor tokens =
        at::linear(features.taps[level][0], projection.weight, projection.bias);
    levels.push_back(tokens / tokens.norm(2, {-1}, /*keepdim=*/true).clamp_min(kUnitEpsilon));
  }
  return at::stack(levels);
}

absl::StatusOr<Learner::BatchLoss> InctrlLearner::Loss(std::vector<Sample>& samples,
                                                       uint64_t /*draws*/) {
  std::vector<at::Tensor> residuals, images, references;
  std::vector<int64_t> classes;
  std::vector<float> labels;
  {
    const at::NoGradGuard no_grad;
    // One query after the other: the tokens of a batch with its references would fill the memory.
    for (Sample& sample : samples) {
      const Features query = features_.Split(features_.Row(sample));
      std::vector<at::Tensor> tokens, of_references;
      for (Sample& reference : sample.references) {
        const Features split = features_.Split(features_.Row(reference));
        tokens.push_back(UnitTokens(split));
        of_references.push_back(split.image[0].clone());
        reference = Sample();
      }
      residuals.push_back(LevelResiduals(UnitTokens(query), tokens).mean(0));
      images.push_back(query.image[0].clone());
      references.push_back(at::stack(of_references));
      classes.push_back(sample.set_class);
      labels.push_back(static_cast<float>(sample.label));
      sample.features = at::Tensor();
    }
  }
  InctrlInput input;
  input.residuals = at::stack(residuals);
  input.features = at::stack(images);
  input.references = std::move(references);
  input.prior = TextPrior(input.features,
                          text_pairs_.index_select(0, at::tensor(classes, at::kLong).to(device_)));
  const InctrlScores scores = inctrl_->Train(input);
  const at::Tensor wanted = at::tensor(labels).to(device_);
  const at::Tensor holistic = BinaryFocalLoss(scores.score, wanted),
                   image = BinaryFocalLoss(scores.image, wanted);
  return BatchLoss{holistic + image, {holistic, image}};
}

Tensors InctrlLearner::ToWrite() const { return ForLearntFile(OnCpu(parameters()), backbone_); }

}  // namespace hfwa::lab::train
