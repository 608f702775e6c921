#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lab/train/feature_source.h"
#include "lab/train/learnable.h"
#include "lab/train/learner.h"
#include "lab/train/losses.h"

namespace hfwa::lab::train {

// HFWA's contexts, adapters and text linear.
class HfwaLearner final : public Learner {
 public:
  // `features` outlives it; null where the adapters feed back. `skip_missing_masks`: see
  // TrainOptions.
  HfwaLearner(std::unique_ptr<Learnable> learnable, FeatureSource* features,
              const LossOptions& options, bool skip_missing_masks, at::Device device)
      : learnable_(std::move(learnable)),
        features_(features),
        options_(options),
        skip_missing_masks_(skip_missing_masks),
        device_(device) {}

  const Tensors& parameters() const override { return learnable_->parameters(); }
  std::vector<std::string> loss_parts() const override { return {"ce", "focal", "dice"}; }
  absl::StatusOr<BatchLoss> Loss(std::vector<Sample>& samples, uint64_t draws) override;
  int64_t TakeComputed() override;
  Tensors ToWrite() const override { return OnCpu(parameters()); }

 private:
  absl::StatusOr<TrainForward> Forward(std::vector<Sample>& samples, const at::Tensor& classes);

  std::unique_ptr<Learnable> learnable_;
  FeatureSource* const features_;
  const LossOptions options_;
  const bool skip_missing_masks_;
  const at::Device device_;
  int64_t images_ = 0;  // that went through the tower where it is differentiated
};

}  // namespace hfwa::lab::train
