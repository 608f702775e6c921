#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lab/eval/method.h"

namespace hfwa::lab {

// PatchCore (arXiv 2106.08265), on the levels' tokens averaged with their neighbours, side by side:
// a patch's score is its distance to the nearest row of a coreset of a tenth; an image's the
// largest of these, weighed by how near the row's own neighbours are (equation 7, nine neighbours).
class PatchcoreMethod final : public Method {
 public:
  explicit PatchcoreMethod(const model::ModelConfig& config) : config_(config) {}
  std::string name() const override { return "patchcore"; }
  absl::StatusOr<std::unique_ptr<Detector>> Fit(const References& references) const override;

 private:
  const model::ModelConfig& config_;
};

}  // namespace hfwa::lab
