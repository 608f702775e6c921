// InCTRL's maths against a small implementation in double precision.

#include "lab/train/inctrl.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/lab/train/plain_inctrl.h"

namespace hfwa::lab::train {
namespace {

using ::testing::HasSubstr;

constexpr int kEmbedding = 12, kGrid = 3, kPatches = kGrid * kGrid;

at::Tensor Noise(std::vector<int64_t> shape, int seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}

model::ModelConfig Config() {
  model::ModelConfig config;
  config.embed_dim = kEmbedding;
  config.vision.image_size = kGrid * 4;
  config.vision.patch_size = 4;
  return config;
}

// Starting values with norms that do something.
Tensors Values(int seed) {
  Tensors values = Inctrl::Initial(Config(), static_cast<uint64_t>(seed));
  for (auto& [name, value] : values) {
    if (name.find(".norm_") == std::string::npos) continue;
    value = value + 0.3 * Noise(value.sizes().vec(), ++seed).abs();
  }
  return values;
}

InctrlInput Input(int batch, int references) {
  InctrlInput input;
  input.residuals = Noise({batch, kPatches}, 50).abs();
  input.features = Noise({batch, kEmbedding}, 51);
  for (int b = 0; b < batch; ++b)
    input.references.push_back(Noise({references, kEmbedding}, 60 + b));
  input.prior = at::sigmoid(Noise({batch}, 52));
  return input;
}

void ExpectNear(const at::Tensor& got, const PlainInctrl::Row& expected, double tolerance) {
  ASSERT_EQ(got.numel(), static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(got[static_cast<int64_t>(i)].item<double>(), expected[i], tolerance) << i;
}

TEST(Inctrl, residuals_are_the_distance_to_the_nearest_patch_of_any_reference) {
  constexpr int kLevels = 2, kTokens = 5;
  const auto tokens = [&](int seed) {
    const at::Tensor x = Noise({kLevels, kTokens, kEmbedding}, seed);
    return x / x.norm(2, {2}, true);
  };
  const at::Tensor query = tokens(1);
  for (const int count : {1, 3}) {
    std::vector<at::Tensor> references;
    for (int k = 0; k < count; ++k) references.push_back(tokens(10 + k));
    const at::Tensor got = LevelResiduals(query, references);
    for (int n = 0; n < kLevels; ++n) {
      for (int p = 0; p < kTokens; ++p) {
        double best = -1;
        for (const at::Tensor& reference : references) {
          for (int q = 0; q < kTokens; ++q)
            best = std::max(best, at::dot(query[n][p], reference[n][q]).item<double>());
        }
        EXPECT_NEAR(got[n][p].item<double>(), 1 - best, 1e-6);
      }
    }
  }
  EXPECT_LT(LevelResiduals(query, {query}).abs().max().item<double>(), 1e-6);
}

TEST(Inctrl, scores_are_their_formula) {
  const Tensors values = Values(3);
  const auto inctrl = Inctrl::Create(Config(), values, at::kCPU);
  ASSERT_TRUE(inctrl.ok()) << inctrl.status();
  for (const int references : {1, 4}) {
    const InctrlInput input = Input(5, references);
    const PlainInctrl::Scores expected = PlainInctrl(values).Run(input, false);
    const InctrlScores got = (*inctrl)->Score(input);
    ExpectNear(got.image, expected.image, 1e-6);
    ExpectNear(got.score, expected.score, 1e-6);
  }
}

TEST(Inctrl, training_norms_by_the_batch_and_the_running_values_follow) {
  const Tensors values = Values(3);
  const auto inctrl = *Inctrl::Create(Config(), values, at::kCPU);
  const InctrlInput input = Input(6, 2);
  const PlainInctrl::Scores expected = PlainInctrl(values).Run(input, true);
  const InctrlScores got = inctrl->Train(input);
  ExpectNear(got.image, expected.image, 1e-5);
  ExpectNear(got.score, expected.score, 1e-5);
  // The first norm's input by hand.
  const at::Tensor adapter_1 = values.at("adapter.linear_1.weight"),
                   adapter_2 = values.at("adapter.linear_2.weight");
  const auto adapt = [&](const at::Tensor& x) {
    return at::relu(at::matmul(at::relu(at::matmul(x, adapter_1.t())), adapter_2.t()));
  };
  std::vector<at::Tensor> differences;
  for (int b = 0; b < 6; ++b)
    differences.push_back(adapt(input.features[b]) - adapt(input.references[b]).mean(0));
  const at::Tensor hidden =
      at::relu(at::matmul(at::stack(differences), values.at("image_head.linear_1.weight").t()) +
               values.at("image_head.linear_1.bias"));
  const Tensors& now = inctrl->parameters();
  const at::Tensor mean = 0.9 * values.at("image_head.norm_1.mean") + 0.1 * hidden.mean(0);
  const at::Tensor variance = 0.9 * values.at("image_head.norm_1.variance") +
                              0.1 * hidden.var({0}, /*unbiased=*/true, false);
  EXPECT_LT((now.at("image_head.norm_1.mean") - mean).abs().max().item<double>(), 1e-6);
  EXPECT_LT((now.at("image_head.norm_1.variance") - variance).abs().max().item<double>(), 1e-6);
  // One query has no variance: the running values serve, and stay.
  const at::Tensor before = now.at("holistic_head.norm_2.mean").clone();
  const InctrlInput one = Input(1, 2);
  EXPECT_TRUE(at::equal(inctrl->Train(one).score.detach(), inctrl->Score(one).score));
  EXPECT_TRUE(at::equal(before, now.at("holistic_head.norm_2.mean")));
}

TEST(Inctrl, the_losses_gradients_are_those_of_finite_differences) {
  const Tensors values = Values(8);
  const auto inctrl = *Inctrl::Create(Config(), values, at::kCPU);
  const InctrlInput input = Input(6, 3);
  const PlainInctrl::Row labels = {0, 1, 1, 0, 1, 0};
  const at::Tensor wanted = at::tensor(labels, at::kDouble).to(at::kFloat);
  const InctrlScores scores = inctrl->Train(input);
  const at::Tensor loss =
      BinaryFocalLoss(scores.score, wanted) + BinaryFocalLoss(scores.image, wanted);
  EXPECT_NEAR(loss.item<double>(), PlainInctrl(values).Loss(input, labels), 1e-5);
  loss.backward();
  constexpr double kStep = 1e-5;
  for (const auto& [name, value] : inctrl->parameters()) {
    if (!value.requires_grad()) continue;
    const at::Tensor gradient = value.grad().flatten();
    double largest = 0;
    for (int64_t i = 0; i < gradient.numel(); i += std::max<int64_t>(1, gradient.numel() / 7)) {
      PlainInctrl plain(values);
      double& element = plain.values().at(name)[static_cast<size_t>(i)];
      element += kStep;
      const double above = plain.Loss(input, labels);
      element -= 2 * kStep;
      const double difference = (above - plain.Loss(input, labels)) / (2 * kStep);
      EXPECT_NEAR(gradient[i].item<double>(), difference, 1e-4 + 1e-3 * std::abs(difference))
          << name << " " << i;
      largest = std::max(largest, std::abs(difference));
    }
    // The norms' input shifts with the bias before it only where ReLU passes; all else moves.
    EXPECT_GT(gradient.abs().max().item<double>(), 1e-7) << name;
  }
}

TEST(Inctrl, the_focal_loss_is_its_formula_and_finite_at_the_ends) {
  const PlainInctrl::Row probabilities = {0.1, 0.4, 0.9, 0.6}, labels = {0, 1, 1, 0};
  const at::Tensor p = at::tensor(probabilities, at::kDouble), y = at::tensor(labels, at::kDouble);
  EXPECT_NEAR(BinaryFocalLoss(p, y).item<double>(), PlainInctrl::Focal(probabilities, labels),
              1e-12);
  EXPECT_TRUE(std::isfinite(
      BinaryFocalLoss(at::tensor({0.0F, 1.0F}), at::tensor({1.0F, 0.0F})).item<double>()));
}

TEST(Inctrl, the_prior_is_the_anomaly_side_of_the_scaled_cosines) {
  const at::Tensor feature = Noise({1, kEmbedding}, 1) * 7, pair = Noise({1, 2, kEmbedding}, 2);
  const at::Tensor unit = pair / pair.norm(2, {2}, true);
  double cosine[2];
  for (int side = 0; side < 2; ++side)
    cosine[side] = (at::dot(feature[0], unit[0][side]) / feature.norm()).item<double>();
  EXPECT_NEAR(TextPrior(feature, unit)[0].item<double>(),
              1 / (1 + std::exp(100 * (cosine[0] - cosine[1]))), 1e-5);
}

TEST(Inctrl, refuses_tensors_of_another_model) {
  Tensors values = Values(3);
  values["holistic_head.linear_1.weight"] = at::zeros({128, kPatches + 1});
  EXPECT_THAT(Inctrl::Create(Config(), values, at::kCPU).status().message(),
              HasSubstr("holistic_head.linear_1.weight"));
  values = Values(3);
  values.erase("adapter.linear_2.weight");
  EXPECT_THAT(Inctrl::Create(Config(), values, at::kCPU).status().message(),
              HasSubstr("adapter.linear_2.weight"));
  values = Values(3);
  values["image_head.linear_3.bias"] = at::full({1}, NAN);
  EXPECT_THAT(Inctrl::Create(Config(), values, at::kCPU).status().message(),
              HasSubstr("image_head.linear_3.bias"));
}

}  // namespace
}  // namespace hfwa::lab::train
