#include "lab/eval/winclip_method.h"

#include <vector>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/maps.h"
#include "lab/eval/patch_features.h"
#include "lab/eval/window_maps.h"

namespace hfwa::lab {
namespace {

constexpr int kLargestSide = kWindowSides[std::size(kWindowSides) - 1];

// Rows of a windows view that are of one scale: where they start, and how many.
struct Scale {
  int side;
  int64_t first;
  int64_t count;
};
std::vector<Scale> Scales(int grid) {
  std::vector<Scale> scales;
  int64_t first = 1;  // row 0 is the whole image
  for (const int side : kWindowSides) {
    scales.push_back({side, first, WindowCount(grid, side)});
    first += scales.back().count;
  }
  return scales;
}

// Half of one minus the largest cosine of each row of `a` with any of `b`, both of unit rows.
at::Tensor HalfDistances(const at::Tensor& a, const at::Tensor& b) {
  return ((1 - at::matmul(a, b.t()).amax(1)) / 2).clamp_min(0);
}

class WinclipDetector final : public OwnScoreDetector {
 public:
  WinclipDetector(const model::ModelConfig& config, at::Tensor pair, const References& references)
      : config_(config), grid_(config.vision.grid()), pair_(std::move(pair)) {
    if (references.images.empty()) return;
    for (const Scale& scale : Scales(grid_)) {
      known_windows_.push_back(Gather(references, WindowsView::kName, scale.first, scale.count));
    }
    known_patches_ = Gather(references, PenultimateTokensView::kName, 0, config.vision.patches());
  }

  absl::StatusOr<Judgement> Judge(const Features& image, bool /*with_levels*/) const override {
    const at::Tensor& windows = image.views.at(WindowsView::kName);
    const at::Tensor defect =
        at::softmax(at::matmul(windows, pair_.t()) / config_.temperature, 1).select(1, 1);
    const float probability = defect[0].item<float>();
    at::Tensor map = LanguageMap(defect);
    float score = probability;
    if (known_patches_.defined()) {
      const at::Tensor association = AssociationMap(image);
      map = map + association;
      score = (probability + association.max().item<float>()) / 2;
    }
    return JudgementOf(model::UpsampleMaps(map.unsqueeze(0), config_.map_size)[0], score);
  }

 private:
  // Those rows of a view of every reference, one after the other.
  static at::Tensor Gather(const References& references, const char* view, int64_t first,
                           int64_t count) {
    std::vector<at::Tensor> rows;
    for (const Features& reference : references.images)
      rows.push_back(reference.views.at(view).narrow(0, first, count));
    return at::cat(rows);
  }

  // Of the probabilities of all rows of the windows view: [g, g].
  at::Tensor LanguageMap(const at::Tensor& defect) const {
    std::vector<at::Tensor> maps = {defect[0].expand({grid_, grid_})};
    for (const Scale& scale : Scales(grid_))
      maps.push_back(HarmonicCover(defect.narrow(0, scale.first, scale.count), grid_, scale.side));
    return HarmonicMean(at::stack(maps));
  }

  at::Tensor AssociationMap(const Features& image) const {
    const at::Tensor& windows = image.views.at(WindowsView::kName);
    at::Tensor sum = HalfDistances(image.views.at(PenultimateTokensView::kName), known_patches_)
                         .view({grid_, grid_});
    const std::vector<Scale> scales = Scales(grid_);
    for (size_t i = 0; i < scales.size(); ++i) {
      const at::Tensor own = windows.narrow(0, scales[i].first, scales[i].count);
      sum = sum + HarmonicCover(HalfDistances(own, known_windows_[i]), grid_, scales[i].side);
    }
    return sum / static_cast<double>(1 + scales.size());
  }

  const model::ModelConfig& config_;
  const int grid_;
  const at::Tensor pair_;                  // [2, E]
  std::vector<at::Tensor> known_windows_;  // of all references, by scale; empty without any
  at::Tensor known_patches_;               // undefined without references
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> WinclipMethod::Create(const LoadedModel& model) {
  HFWA_ASSIGN_OR_RETURN(std::unique_ptr<PromptEnsemble> ensemble,
                        PromptEnsemble::Create(model.files.config, model.files.weights,
                                               model.files.merges, "winclip"));
  const int grid = model.hfwa.config().vision.grid();
  if (grid < kLargestSide) {
    return absl::FailedPreconditionError(absl::StrCat("winclip takes windows of ", kLargestSide,
                                                      "x", kLargestSide, " patches: the model has ",
                                                      grid, "x", grid));
  }
  return std::unique_ptr<Method>(new WinclipMethod(model.hfwa, std::move(ensemble)));
}

absl::StatusOr<std::unique_ptr<Detector>> WinclipMethod::Fit(const References& references) const {
  HFWA_ASSIGN_OR_RETURN(at::Tensor pair, ensemble_->Pair(references.class_name));
  return std::make_unique<WinclipDetector>(config_, std::move(pair), references);
}

}  // namespace hfwa::lab
