#include "lab/train/feature_source.h"

#include <ATen/ATen.h>

namespace hfwa::lab::train {

at::Tensor FeatureSource::Row(Sample& sample) {
  if (!sample.features.defined()) {
    sample.features = backbone_->Compute(sample.image);
    ++computed_;
    if (cache_ != nullptr && !sample.sha256.empty()) cache_->Put(sample.sha256, sample.features);
  }
  return sample.features.to(device_);
}

Features FeatureSource::Of(std::vector<Sample>& samples) {
  std::vector<at::Tensor> rows;
  rows.reserve(samples.size());
  for (Sample& sample : samples) rows.push_back(Row(sample));
  return backbone_->Split(at::stack(rows));
}

}  // namespace hfwa::lab::train
