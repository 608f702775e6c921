#include "lab/eval/padim_method.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "core/base/status_macros.h"
#include "lab/eval/patch_features.h"

namespace hfwa::lab {
namespace {

constexpr int64_t kDimensions = 100;
constexpr double kRidge = 0.01;
constexpr uint64_t kSeed = 1024;  // of the dimensions, whatever the draw of references

// The dimensions of `width` that take part.
at::Tensor DrawDimensions(int64_t width) {
  const at::Tensor drawn =
      at::randperm(width, at::make_generator<at::CPUGeneratorImpl>(kSeed), at::kLong);
  return std::get<0>(drawn.slice(0, 0, std::min(width, kDimensions)).sort());
}

class PadimDetector final : public OwnScoreDetector {
 public:
  PadimDetector(const model::ModelConfig& config, const std::vector<Features>& references)
      : config_(config), dimensions_(DrawDimensions(SideBySide(references[0].tokens).size(1))) {
    std::vector<at::Tensor> all;
    all.reserve(references.size());
    for (const Features& reference : references) all.push_back(Reduced(reference));
    const at::Tensor samples = at::stack(all, 1);  // [L, references, D]
    means_ = samples.mean(1, /*keepdim=*/true);
    const at::Tensor centred = samples - means_;
    const auto divisor = std::max<int64_t>(1, samples.size(1) - 1);
    const at::Tensor covariance =
        at::matmul(centred.transpose(1, 2), centred) / static_cast<double>(divisor) +
        kRidge * at::eye(samples.size(2), samples.options());
    factors_ = at::linalg_cholesky(covariance);
  }

  absl::StatusOr<Judgement> Judge(const Features& image, bool /*with_levels*/) const override {
    const at::Tensor centred = (Reduced(image).unsqueeze(1) - means_).transpose(1, 2);
    // |L^-1 x|² = xᵀ (L Lᵀ)^-1 x.
    const at::Tensor whitened = at::linalg_solve_triangular(factors_, centred, /*upper=*/false);
    at::Tensor map = PatchMap(config_, whitened.norm(2, {1}).flatten().to(at::kFloat));
    const float largest = map.max().item<float>();
    return JudgementOf(std::move(map), largest);
  }

 private:
  at::Tensor Reduced(const Features& image) const {
    return SideBySide(image.tokens).index_select(1, dimensions_).to(at::kDouble);  // [L, D]
  }

  const model::ModelConfig& config_;
  const at::Tensor dimensions_;
  at::Tensor means_;    // [L, 1, D]
  at::Tensor factors_;  // [L, D, D], lower triangles
};

}  // namespace

absl::StatusOr<std::unique_ptr<Detector>> PadimMethod::Fit(const References& references) const {
  HFWA_RETURN_IF_ERROR(NeedsReferences(references, name()));
  return std::make_unique<PadimDetector>(config_, references.images);
}

}  // namespace hfwa::lab
