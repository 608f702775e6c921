#include "lab/eval/spade_method.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>

#include "core/base/status_macros.h"
#include "lab/eval/patch_features.h"

namespace hfwa::lab {
namespace {

constexpr int64_t kNearest = 50;

class SpadeDetector final : public OwnScoreDetector {
 public:
  SpadeDetector(const model::ModelConfig& config, const std::vector<Features>& references)
      : config_(config) {
    std::vector<at::Tensor> means;
    for (const Features& reference : references) {
      patches_.push_back(SideBySide(reference.tokens));
      means.push_back(patches_.back().mean(0));
    }
    means_ = at::stack(means);
  }

  absl::StatusOr<Judgement> Judge(const Features& image, bool /*with_levels*/) const override {
    const at::Tensor patches = SideBySide(image.tokens);
    const at::Tensor distances = Distances(patches.mean(0, /*keepdim=*/true), means_)[0];
    const int64_t count = std::min(kNearest, distances.numel());
    const auto [nearest, indices] = distances.topk(count, 0, /*largest=*/false);
    at::Tensor scores;
    for (int64_t i = 0; i < count; ++i) {
      const auto reference = static_cast<size_t>(indices[i].item<int64_t>());
      const at::Tensor to = std::get<0>(Distances(patches, patches_[reference]).min(1));
      scores = scores.defined() ? at::minimum(scores, to) : to;
    }
    return JudgementOf(PatchMap(config_, scores), nearest.mean().item<float>());
  }

 private:
  const model::ModelConfig& config_;
  std::vector<at::Tensor> patches_;  // [L, n * E] of each reference
  at::Tensor means_;                 // [references, n * E]
};

}  // namespace

absl::StatusOr<std::unique_ptr<Detector>> SpadeMethod::Fit(const References& references) const {
  HFWA_RETURN_IF_ERROR(NeedsReferences(references, name()));
  return std::make_unique<SpadeDetector>(config_, references.images);
}

}  // namespace hfwa::lab
