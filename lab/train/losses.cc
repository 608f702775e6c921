#include "lab/train/losses.h"

#include <ATen/ATen.h>

namespace hfwa::lab::train {
namespace {

constexpr double kFocalSmooth = 1e-5;
constexpr double kDiceSmooth = 1.0;

at::Tensor ImageTerm(const at::Tensor& probs, const at::Tensor& labels, ImageLoss kind) {
  const at::Tensor index = labels.view({-1, 1});
  const at::Tensor own = probs.gather(1, index);
  if (kind == ImageLoss::kNll) return -own.log().mean();
  const at::Tensor other = probs.gather(1, 1 - index);
  return at::softplus(other - own).mean();  // log(1 + exp(.))
}

// normal and anomaly [B, S, S] sum to one.
at::Tensor Focal(const at::Tensor& normal, const at::Tensor& anomaly, const at::Tensor& mask) {
  const at::Tensor wanted = mask.clamp(kFocalSmooth, 1.0 - kFocalSmooth);
  const at::Tensor unwanted = (1.0 - mask).clamp(kFocalSmooth, 1.0 - kFocalSmooth);
  const at::Tensor pt = unwanted * normal + wanted * anomaly + kFocalSmooth;
  return -((1.0 - pt).square() * pt.log()).mean();
}

at::Tensor Dice(const at::Tensor& map, const at::Tensor& target) {
  const at::Tensor x = map.flatten(1), y = target.flatten(1);
  const at::Tensor overlap = 2.0 * (x * y).sum(1) + kDiceSmooth;
  return 1.0 - (overlap / (x.sum(1) + y.sum(1) + kDiceSmooth)).mean();
}

at::Tensor Sum(const std::vector<at::Tensor>& scalars, const at::Tensor& like) {
  return scalars.empty() ? at::zeros_like(like) : at::stack(scalars).sum();
}

}  // namespace

LossParts ComputeLoss(const at::Tensor& text_probs, const std::vector<at::Tensor>& level_logits,
                      const at::Tensor& labels, const at::Tensor& masks,
                      const LossOptions& options) {
  std::vector<at::Tensor> logits = level_logits;
  if (options.pixel == PixelLoss::kFused) logits = {at::stack(level_logits).sum(0)};
  LossParts parts;
  parts.ce = ImageTerm(text_probs, labels, options.image);
  if (masks.size(0) == 0) logits.clear();
  for (const at::Tensor& logit : logits) {
    // The softmax over two channels is the sigmoid of their difference.
    const at::Tensor anomaly = at::sigmoid(logit), normal = at::sigmoid(-logit);
    parts.focal_levels.push_back(Focal(normal, anomaly, masks));
    parts.dice_anomaly_levels.push_back(Dice(anomaly, masks));
    parts.dice_normal_levels.push_back(Dice(normal, 1.0 - masks));
  }
  parts.focal = Sum(parts.focal_levels, parts.ce);
  parts.dice = Sum(parts.dice_anomaly_levels, parts.ce) + Sum(parts.dice_normal_levels, parts.ce);
  parts.total = options.lambda_image * parts.ce + options.lambda_focal * parts.focal +
                options.lambda_dice * parts.dice;
  return parts;
}

}  // namespace hfwa::lab::train
