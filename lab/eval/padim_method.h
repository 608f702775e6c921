#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lab/eval/method.h"

namespace hfwa::lab {

// PaDiM (arXiv 2011.08785), on the levels' tokens: a Gaussian at each position over levels side by
// side, reduced to 100 dimensions drawn at random, covariance plus 0.01 on its diagonal; a patch's
// score is its Mahalanobis distance, an image's the largest of its map. With one reference the
// covariance is the diagonal alone.
class PadimMethod final : public Method {
 public:
  explicit PadimMethod(const model::ModelConfig& config) : config_(config) {}
  std::string name() const override { return "padim"; }
  absl::StatusOr<std::unique_ptr<Detector>> Fit(const References& references) const override;

 private:
  const model::ModelConfig& config_;
};

}  // namespace hfwa::lab
