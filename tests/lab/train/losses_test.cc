// What the fixtures do not cover: the paper's losses, and batches whose masks are not known.

#include "lab/train/losses.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace hfwa::lab::train {
namespace {

struct Inputs {
  at::Tensor probs = at::tensor({0.8F, 0.2F, 0.4F, 0.6F}).view({2, 2});
  at::Tensor labels = at::tensor({0, 1}, at::kLong);
  std::vector<at::Tensor> logits = {at::tensor({1.0F, -1.0F, 2.0F, 0.0F}).view({2, 1, 2}),
                                    at::tensor({0.5F, 0.0F, -2.0F, 1.0F}).view({2, 1, 2})};
  at::Tensor masks = at::tensor({0.0F, 0.0F, 1.0F, 0.0F}).view({2, 1, 2});
};

TEST(Losses, the_paper_s_image_loss_is_the_logarithm_of_the_probability) {
  const Inputs in;
  LossOptions options;
  options.image = ImageLoss::kNll;
  const LossParts parts = ComputeLoss(in.probs, in.logits, in.labels, in.masks, options);
  EXPECT_NEAR(parts.ce.item<double>(), -(std::log(0.8) + std::log(0.6)) / 2, 1e-6);
}

TEST(Losses, the_paper_s_pixel_losses_are_of_the_summed_levels) {
  const Inputs in;
  LossOptions fused;
  fused.pixel = PixelLoss::kFused;
  const LossParts parts = ComputeLoss(in.probs, in.logits, in.labels, in.masks, fused);
  const LossParts one =
      ComputeLoss(in.probs, {in.logits[0] + in.logits[1]}, in.labels, in.masks, {});
  EXPECT_EQ(parts.focal_levels.size(), 1U);
  EXPECT_EQ(parts.total.item<float>(), one.total.item<float>());
}

TEST(Losses, lambdas_weigh_the_parts) {
  const Inputs in;
  LossOptions options;
  options.lambda_dice = 2;
  options.lambda_focal = 3;
  options.lambda_image = 5;
  const LossParts parts = ComputeLoss(in.probs, in.logits, in.labels, in.masks, options);
  EXPECT_NEAR(
      parts.total.item<double>(),
      2 * parts.dice.item<double>() + 3 * parts.focal.item<double>() + 5 * parts.ce.item<double>(),
      1e-5);
}

TEST(Losses, pixel_terms_vanish_where_no_mask_is_known) {
  const Inputs in;
  const at::Tensor none = at::empty({0, 1, 2});
  const LossParts parts = ComputeLoss(in.probs, {none, none}, in.labels, at::empty({0}), {});
  EXPECT_EQ(parts.focal.item<float>(), 0);
  EXPECT_EQ(parts.dice.item<float>(), 0);
  EXPECT_EQ(parts.total.item<float>(), parts.ce.item<float>());
}

}  // namespace
}  // namespace hfwa::lab::train
