#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "lab/train/backbone.h"
#include "lab/train/feature_cache.h"
#include "lab/train/samples.h"

namespace hfwa::lab::train {

// What the frozen tower gives for samples: from the cache, or computed and kept there.
class FeatureSource {
 public:
  // `cache` may be null.
  FeatureSource(std::unique_ptr<Backbone> backbone, std::unique_ptr<FeatureCache> cache,
                at::Device device)
      : backbone_(std::move(backbone)), cache_(std::move(cache)), device_(device) {}

  // Null: none.
  const FeatureCache* cache() const { return cache_.get(); }
  // [Backbone::Values()] on the device; the sample keeps them. LibTorch's exceptions pass through.
  at::Tensor Row(Sample& sample);
  // Of B samples, in views of one tensor.
  Features Of(std::vector<Sample>& samples);
  // Of one row, as Of gives those of one sample.
  Features Split(const at::Tensor& row) const { return backbone_->Split(row.unsqueeze(0)); }

  // Images that went through the tower since the last call.
  int64_t TakeComputed() { return std::exchange(computed_, 0); }

 private:
  std::unique_ptr<Backbone> backbone_;
  std::unique_ptr<FeatureCache> cache_;
  at::Device device_;
  int64_t computed_ = 0;
};

}  // namespace hfwa::lab::train
