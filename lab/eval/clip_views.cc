#include "lab/eval/clip_views.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "absl/strings/str_cat.h"
#include "core/model/trace.h"
#include "core/model/vision_tower.h"
#include "lab/eval/window_maps.h"

namespace hfwa::lab {
namespace {

// Tokens that go through the tower at once: bounds the memory of many windows.
constexpr int64_t kTokensAtOnce = 4096;

// Of unit length, as [B, T, W] -> the same on the CPU.
at::Tensor ToUnit(const kernels::Kernels& kernels, const at::Tensor& x) {
  at::Tensor unit = at::empty(x.sizes(), x.options().dtype(at::kFloat));
  kernels.ToUnitLength(x, unit);
  return unit.cpu();
}

// Tokens at the taps and image feature of one pass of that kind: [1 + n * L, E] on the CPU.
at::Tensor LookWith(decltype(&model::VisionTower::Forward) pass, const model::Hfwa& hfwa,
                    const at::Tensor& input) {
  const at::NoGradGuard no_grad;
  const model::ModelConfig& config = hfwa.config();
  const kernels::Kernels& kernels = hfwa.kernels();
  const model::VisionTower& tower = hfwa.vision();
  const int64_t patches = config.vision.patches();
  at::Tensor rows = at::empty({1, 1 + config.levels() * patches, config.embed_dim},
                              at::device(kernels.device()).dtype(at::kFloat));
  const auto visit = [&](int level, at::Tensor& x) {
    at::Tensor unit = rows.narrow(1, 1 + level * patches, patches);
    kernels.ToUnitLength(tower.Project(level, kernels.TokensOf(x.slice(1, 1))), unit);
  };
  const at::Tensor feature =
      (tower.*pass)(input.to(kernels.device()), /*want_image_feature=*/true, visit, {});
  rows.select(1, 0).copy_(feature);
  return rows[0].cpu();
}

}  // namespace

absl::Status NeedsLanguage(const model::ModelConfig& config, const std::string& method) {
  if (config.has_language()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(method, " compares images with words: the model has no language side"));
}

absl::StatusOr<at::Tensor> TowerTokensView::Look(const Subject& subject) const {
  return LookWith(&model::VisionTower::Forward, hfwa_, subject.model_input);
}

absl::StatusOr<at::Tensor> ValueTokensView::Look(const Subject& subject) const {
  return LookWith(&model::VisionTower::ForwardValues, hfwa_, subject.model_input);
}

at::Tensor ImageFeatureOf(const at::Tensor& tokens_view) { return tokens_view[0]; }

at::Tensor TokensOf(const at::Tensor& tokens_view, int levels) {
  return tokens_view.slice(0, 1).unflatten(0, {levels, -1});
}

WindowsView::WindowsView(const model::Hfwa& hfwa) : hfwa_(hfwa) {
  for (const int side : kWindowSides)
    rows_.push_back(WindowRows(hfwa.config().vision.grid(), side).to(hfwa.kernels().device()));
}

absl::StatusOr<at::Tensor> WindowsView::Look(const Subject& subject) const {
  const at::NoGradGuard no_grad;
  const model::VisionTower& tower = hfwa_.vision();
  const int blocks = hfwa_.config().vision.layers;
  const at::Tensor tokens = tower.Embed(subject.model_input.to(hfwa_.kernels().device()), {});
  const auto feature = [&](at::Tensor x) {
    return tower.ImageFeature(tower.ApplyBlocks(std::move(x), blocks).select(1, 0));
  };
  std::vector<at::Tensor> features;
  for (const at::Tensor& rows : rows_) {
    for (const at::Tensor& some : rows.split(std::max<int64_t>(1, kTokensAtOnce / rows.size(1))))
      features.push_back(
          feature(tokens[0].index_select(0, some.flatten()).unflatten(0, some.sizes())));
  }
  features.insert(features.begin(), feature(tokens));
  return ToUnit(hfwa_.kernels(), at::cat(features).unsqueeze(0))[0];
}

absl::StatusOr<at::Tensor> PenultimateTokensView::Look(const Subject& subject) const {
  const at::NoGradGuard no_grad;
  const model::VisionTower& tower = hfwa_.vision();
  const at::Tensor tokens =
      tower.ApplyBlocks(tower.Embed(subject.model_input.to(hfwa_.kernels().device()), {}),
                        hfwa_.config().vision.layers - 1);
  return ToUnit(hfwa_.kernels(), tokens.slice(1, 1))[0];
}

}  // namespace hfwa::lab
