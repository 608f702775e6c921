#include "lab/eval/patchcore_method.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>

#include "core/bank/coreset.h"
#include "core/base/status_macros.h"
#include "lab/eval/patch_features.h"

namespace hfwa::lab {
namespace {

constexpr double kCoreset = 0.1;
constexpr int64_t kNeighbours = 9;

at::Tensor Patches(const Features& image) { return SideBySide(NeighbourMeans(image.tokens)); }

class PatchcoreDetector final : public OwnScoreDetector {
 public:
  PatchcoreDetector(const model::ModelConfig& config, const std::vector<Features>& references)
      : config_(config) {
    std::vector<at::Tensor> all;
    all.reserve(references.size());
    for (const Features& reference : references) all.push_back(Patches(reference));
    const at::Tensor rows = at::cat(all);
    const std::vector<int64_t> kept =
        bank::Coreset(rows, static_cast<int>(references.size()), kCoreset);
    rows_ = rows.index_select(0, at::tensor(kept, at::kLong));
  }

  absl::StatusOr<Judgement> Judge(const Features& image, bool /*with_levels*/) const override {
    const at::Tensor patches = Patches(image);
    const auto [scores, nearest] = Distances(patches, rows_).min(1);
    const int64_t worst = scores.argmax().item<int64_t>();
    const float weight = Weight(patches[worst], nearest[worst].item<int64_t>());
    return JudgementOf(PatchMap(config_, scores), weight * scores[worst].item<float>());
  }

 private:
  // 1 - softmax of the patch's distance to its row among those to the row's neighbours, the row
  // itself included: small where the row is an ordinary one.
  float Weight(const at::Tensor& patch, int64_t row) const {
    const int64_t count = std::min(kNeighbours, rows_.size(0));
    const at::Tensor around =
        std::get<1>(Distances(rows_[row].unsqueeze(0), rows_)[0].topk(count, 0, /*largest=*/false));
    const at::Tensor distances = Distances(patch.unsqueeze(0), rows_.index_select(0, around))[0];
    const at::Tensor own = Distances(patch.unsqueeze(0), rows_[row].unsqueeze(0))[0][0];
    return 1.0F - at::exp(own - distances.logsumexp({0})).item<float>();
  }

  const model::ModelConfig& config_;
  at::Tensor rows_;  // [R, n * E]
};

}  // namespace

absl::StatusOr<std::unique_ptr<Detector>> PatchcoreMethod::Fit(const References& references) const {
  HFWA_RETURN_IF_ERROR(NeedsReferences(references, name()));
  return std::make_unique<PatchcoreDetector>(config_, references.images);
}

}  // namespace hfwa::lab
