#include "lab/train/hfwa_learner.h"

#include <utility>

#include <ATen/ATen.h>

#include "core/base/status_macros.h"

namespace hfwa::lab::train {

absl::StatusOr<Learner::BatchLoss> HfwaLearner::Loss(std::vector<Sample>& samples, uint64_t draws) {
  learnable_->StartDropout(draws);
  std::vector<int64_t> labels, classes, known;
  std::vector<at::Tensor> masks;
  for (size_t i = 0; i < samples.size(); ++i) {
    labels.push_back(samples[i].label);
    classes.push_back(samples[i].class_index);
    if (!samples[i].mask_known && skip_missing_masks_) continue;
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
  const LossParts parts =
      ComputeLoss(forward.text_probs, forward.pixel_logits,
                  at::tensor(labels, at::kLong).to(device_), mask.to(device_), options_);
  return BatchLoss{parts.total, {parts.ce, parts.focal, parts.dice}};
}

absl::StatusOr<TrainForward> HfwaLearner::Forward(std::vector<Sample>& samples,
                                                  const at::Tensor& classes) {
  if (!learnable_->needs_images()) return learnable_->Forward(features_->Of(samples), classes);
  std::vector<at::Tensor> images;
  images.reserve(samples.size());
  for (const Sample& sample : samples) images.push_back(sample.image);
  images_ += static_cast<int64_t>(images.size());
  return learnable_->ForwardImages(at::stack(images).to(device_), classes);
}

int64_t HfwaLearner::TakeComputed() {
  return features_ != nullptr ? features_->TakeComputed() : std::exchange(images_, 0);
}

}  // namespace hfwa::lab::train
