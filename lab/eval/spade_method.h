#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lab/eval/method.h"

namespace hfwa::lab {

// Sub-image anomaly detection with deep pyramid correspondences (arXiv 2005.02357), on the levels'
// tokens: an image's score is the mean distance of its mean token to those of the nearest
// references (50 of them, or all), a patch's the distance to the nearest patch of these references,
// levels side by side.
class SpadeMethod final : public Method {
 public:
  explicit SpadeMethod(const model::ModelConfig& config) : config_(config) {}
  std::string name() const override { return "spade"; }
  absl::StatusOr<std::unique_ptr<Detector>> Fit(const References& references) const override;

 private:
  const model::ModelConfig& config_;
};

}  // namespace hfwa::lab
