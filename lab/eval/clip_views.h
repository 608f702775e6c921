#pragma once

// Looks that methods over CLIP's frozen tower take at a picture. They need a model with a language
// side (NeedsLanguage). n levels, grid g, L = g * g patches, embedding E.

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model/hfwa.h"
#include "lab/eval/view.h"

namespace hfwa::lab {

// FAILED_PRECONDITION, with the method's name, where the model is none of image and text.
absl::Status NeedsLanguage(const model::ModelConfig& config, const std::string& method);

// "tower_tokens": the patch tokens at the taps as the model's own forward pass has them, unadapted
// (VisionTower::Forward), and the frozen tower's image feature, of one pass. [1 + n * L, E]; the
// functions below read it.
class TowerTokensView final : public View {
 public:
  // `hfwa` must outlive it.
  explicit TowerTokensView(const model::Hfwa& hfwa) : hfwa_(hfwa) {}
  std::string name() const override { return kName; }
  absl::StatusOr<at::Tensor> Look(const Subject& subject) const override;

  static constexpr char kName[] = "tower_tokens";

 private:
  const model::Hfwa& hfwa_;
};

// "value_tokens": the same with tokens by v-v attention (VisionTower::ForwardValues).
class ValueTokensView final : public View {
 public:
  // `hfwa` must outlive it.
  explicit ValueTokensView(const model::Hfwa& hfwa) : hfwa_(hfwa) {}
  std::string name() const override { return kName; }
  absl::StatusOr<at::Tensor> Look(const Subject& subject) const override;

  static constexpr char kName[] = "value_tokens";

 private:
  const model::Hfwa& hfwa_;
};

// CLIP's image feature, not normalised: [E].
at::Tensor ImageFeatureOf(const at::Tensor& tokens_view);
// Projected tokens, L2-normalised: [n, L, E].
at::Tensor TokensOf(const at::Tensor& tokens_view, int levels);

// Sides of WinCLIP's windows, in patches; the grid must have as many.
inline constexpr int kWindowSides[] = {2, 3};

// "windows": image features of the whole image (row 0), then of each window of each side, row-major
// (window_maps.h), L2-normalised: [1 + (g - 1)² + (g - 2)², E]. A window is its patches and the
// class token alone, at their own positions, through the frozen tower from the first block on.
class WindowsView final : public View {
 public:
  // `hfwa` must outlive it.
  explicit WindowsView(const model::Hfwa& hfwa);
  std::string name() const override { return kName; }
  absl::StatusOr<at::Tensor> Look(const Subject& subject) const override;

  static constexpr char kName[] = "windows";

 private:
  const model::Hfwa& hfwa_;
  std::vector<at::Tensor> rows_;  // WindowRows of each side, on the model's device
};

// "penultimate_tokens": patch tokens before the last block, not projected, L2-normalised, [L, W] of
// the tower's width W.
class PenultimateTokensView final : public View {
 public:
  // `hfwa` must outlive it.
  explicit PenultimateTokensView(const model::Hfwa& hfwa) : hfwa_(hfwa) {}
  std::string name() const override { return kName; }
  absl::StatusOr<at::Tensor> Look(const Subject& subject) const override;

  static constexpr char kName[] = "penultimate_tokens";

 private:
  const model::Hfwa& hfwa_;
};

}  // namespace hfwa::lab
