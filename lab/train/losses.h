#pragma once

// What training minimises (training spec, section 1). Everything is differentiable and fp32.

#include <vector>

#include <ATen/core/Tensor.h>

namespace hfwa::lab::train {

enum class ImageLoss {
  kProbsCe,  // the reference: cross entropy over the probabilities, softmaxed a second time
  kNll,      // the paper: -log p[c]
};
enum class PixelLoss {
  kPerLevel,  // the reference: each level's map by itself, summed
  kFused,     // the paper: one map, the softmax of the summed levels
};

struct LossOptions {
  ImageLoss image = ImageLoss::kProbsCe;
  PixelLoss pixel = PixelLoss::kPerLevel;
  double lambda_dice = 1.0;
  double lambda_focal = 1.0;
  double lambda_image = 1.0;
};

// B images, map side S, n levels (one where fused).
struct LossParts {
  at::Tensor total;  // all scalars
  at::Tensor ce;
  at::Tensor focal;  // sum over levels
  at::Tensor dice;   // sum over levels and both channels
  std::vector<at::Tensor> focal_levels;
  std::vector<at::Tensor> dice_anomaly_levels;
  std::vector<at::Tensor> dice_normal_levels;
};

// text_probs [B, 2]; level_logits: per level [B', S, S], anomaly minus normal cosine on the pixels,
// so that a level's map is its sigmoid; labels [B] int64 in {0, 1}; masks [B', S, S] fp32 in {0,
// 1}, 1 is defect. B' is B, or less where some images' masks are not known; at 0 the pixel terms
// are 0.
LossParts ComputeLoss(const at::Tensor& text_probs, const std::vector<at::Tensor>& level_logits,
                      const at::Tensor& labels, const at::Tensor& masks,
                      const LossOptions& options);

}  // namespace hfwa::lab::train
