// What the CUDA kernels do to rows of activations, by their twin, against LibTorch.

#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/kernels/cuda/cuda_kernels.h"
#include "core/kernels/cuda/twin.h"
#include "tests/kernels/cuda_cases.h"

namespace hfwa::kernels {
namespace {

class CudaRowsTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  // Half a step of the type at 1.
  double HalfStep() const { return GetParam() == at::kHalf ? 1.0 / 2048 : 1.0 / 256; }
  const std::unique_ptr<Kernels> kernels_ = MakeCudaKernels(cuda::Twin(), at::kCPU, GetParam());
};

TEST_P(CudaRowsTest, norms_are_those_of_the_definition) {
  for (const int width : {4, 12, 128, 132, 1024}) {
    const Norm norm{1 + RandomValues({width}, 1) / 8, RandomValues({width}, 2), 1e-5};
    const at::Tensor x = RandomValues({2, 37, width}, 3) * 5 + 20;
    const at::Tensor expected =
        at::layer_norm(x.to(at::kDouble), {width}, norm.weight.to(at::kDouble),
                       norm.bias.to(at::kDouble), norm.eps);
    const at::Tensor y = kernels_->LayerNormForLinear(x, norm);
    ASSERT_EQ(y.scalar_type(), GetParam());
    EXPECT_LE(LargestDifference(y, expected),
              expected.abs().max().item<double>() * HalfStep() + 1e-5)
        << width;
  }
}

at::Tensor Activated(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kQuickGelu:
      return x * at::sigmoid(1.702 * x);
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kRelu:
      return at::relu(x);
  }
  return x;
}

TEST_P(CudaRowsTest, activations_take_the_bias_unrounded) {
  const at::Tensor x = at::linspace(-12, 12, 4004).view({-1, 4}).to(GetParam());
  const at::Tensor bias = RandomValues({4}, 5);
  const LinearWeights first{at::eye(4), bias}, second{at::eye(4), {}};
  for (const Activation activation :
       {Activation::kNone, Activation::kQuickGelu, Activation::kGelu, Activation::kRelu}) {
    const at::Tensor y = kernels_->PackMlp({first, second}, activation)->Apply(x).to(at::kDouble);
    const at::Tensor expected = Activated(activation, x.to(at::kDouble) + bias.to(at::kDouble));
    // Rounded once; GELU's 1 + erf cancels below -4 in fp32.
    EXPECT_TRUE(((y - expected).abs() <= expected.abs() * HalfStep() + 2e-6).all().item<bool>())
        << static_cast<int>(activation);
  }
}

TEST_P(CudaRowsTest, residual_sums_round_the_product_alone) {
  for (const auto& [rows, in, out] : {std::tuple(1, 8, 4), std::tuple(77, 32, 20)}) {
    for (const bool with_bias : {false, true}) {
      const at::Tensor weight = RandomValues({out, in}, 1) / std::sqrt(in);
      const at::Tensor bias = with_bias ? RandomValues({out}, 2) : at::Tensor();
      const at::Tensor x = RandomValues({rows, in}, 3), before = RandomValues({rows, out}, 4) * 50;
      at::Tensor product = at::linear(x.to(GetParam()), weight.to(GetParam())).to(at::kDouble);
      if (with_bias) product = product + bias.to(at::kDouble);
      at::Tensor sum = before.clone();
      kernels_->PackLinear({weight, bias})->AddTo(sum, x);
      EXPECT_LE(LargestDifference(sum, before.to(at::kDouble) + product), 2e-5);
    }
  }
}

TEST_P(CudaRowsTest, a_sum_and_its_norm_are_those_of_each) {
  for (const int width : {20, 132, 1024, 1028}) {
    for (const bool with_bias : {false, true}) {
      const Norm norm{1 + RandomValues({width}, 1) / 8, RandomValues({width}, 2), 1e-5};
      const LinearWeights one{RandomValues({width, 16}, 3) / 4,
                              with_bias ? RandomValues({width}, 4) : at::Tensor()};
      const LinearWeights before{RandomValues({16, 16}, 5) / 4, {}};
      const auto linear = kernels_->PackLinear(one);
      const auto mlp = kernels_->PackMlp({before, one}, Activation::kQuickGelu);
      const at::Tensor x = RandomValues({2, 13, 16}, 6);
      const at::Tensor start = RandomValues({2, 13, width}, 7) * 9;
      at::Tensor sum = start.clone(), expected = start.clone();
      at::Tensor y = kernels_->AddThenNorm(*linear, sum, x, norm);
      linear->AddTo(expected, x);
      EXPECT_TRUE(at::equal(sum, expected)) << width;
      EXPECT_TRUE(at::equal(y, kernels_->LayerNormForLinear(expected, norm))) << width;
      y = kernels_->AddThenNorm(*mlp, sum, x, norm);
      mlp->AddTo(expected, x);
      EXPECT_TRUE(at::equal(sum, expected)) << width;
      EXPECT_TRUE(at::equal(y, kernels_->LayerNormForLinear(expected, norm))) << width;
    }
  }
}

// Whole images' tokens, and those behind a class token.
std::vector<at::Tensor> TokenViews(int width) {
  return {RandomValues({3, 11, width}, 8), RandomValues({3, 12, width}, 9).slice(1, 1)};
}

TEST_P(CudaRowsTest, tokens_are_kept_exactly_and_rounded_for_maps) {
  for (const int width : {8, 132, 1028, 6, 2052}) {
    for (const at::Tensor& x : TokenViews(width)) {
      const Tokens tokens = kernels_->TokensOf(x);
      EXPECT_TRUE(tokens.value.is_alias_of(x));
      EXPECT_TRUE(at::equal(tokens.for_linear, x.to(GetParam()))) << width;
    }
  }
}

TEST_P(CudaRowsTest, a_normed_branch_is_added_exactly) {
  for (const int width : {8, 132, 1028, 6, 2052}) {
    const Norm norm{1 + RandomValues({width}, 1) / 8, RandomValues({width}, 2), 1e-5};
    for (const at::Tensor& x : TokenViews(width)) {
      const at::Tensor branch = RandomValues({3, 11, width}, 3).mul(4).add(3).to(GetParam());
      const at::Tensor expected =
          x.to(at::kDouble) + at::layer_norm(branch.to(at::kDouble), {width},
                                             norm.weight.to(at::kDouble), norm.bias.to(at::kDouble),
                                             norm.eps);
      const Tokens sum = kernels_->AddNormed(x, branch, norm);
      EXPECT_LE(LargestDifference(sum.value, expected), 1e-5) << width;
      EXPECT_TRUE(at::equal(sum.for_linear, sum.value.to(GetParam()))) << width;
    }
  }
}

TEST_P(CudaRowsTest, unit_rows_have_length_one_and_zeros_stay) {
  for (const int width : {8, 132, 768, 1028, 6, 2052}) {
    at::Tensor x = RandomValues({3, 11, width}, 1).mul(7).to(GetParam());
    x[1][4].zero_();
    at::Tensor all = at::full({3, 2, 11, width}, 5.0F);
    at::Tensor unit = all.select(1, 1);
    kernels_->ToUnitLength(x, unit);
    const at::Tensor exact = x.to(at::kDouble);
    const at::Tensor expected = exact / exact.norm(2, {2}, /*keepdim=*/true).clamp_min(1e-12);
    EXPECT_LE(LargestDifference(unit, expected), 2e-7) << width;
    EXPECT_TRUE((all.select(1, 0) == 5).all().item<bool>()) << "wrote beyond its level";
  }
}

TEST_P(CudaRowsTest, cosines_are_those_of_each_images_own_pair) {
  for (const int width : {8, 132, 768, 1028, 6, 2052}) {
    at::Tensor x = RandomValues({3, 11, width}, 1).mul(7).to(GetParam());
    x[2][10].zero_();
    const at::Tensor pairs = UnitRows(6, width, 2).view({3, 2, width});
    const at::Tensor exact = x.to(at::kDouble);
    const at::Tensor unit = exact / exact.norm(2, {2}, /*keepdim=*/true).clamp_min(1e-12);
    EXPECT_LE(LargestDifference(kernels_->Cosines(x, pairs),
                                at::matmul(pairs.to(at::kDouble), unit.transpose(1, 2))),
              1e-6)
        << width;
  }
}

TEST_P(CudaRowsTest, windows_attend_as_the_reference) {
  const auto reference = MakeAtenKernels(at::kCPU, GetParam());
  for (const WindowCase& c : WindowCases()) {
    const auto attention = [&](const Kernels& kernels) { return RandomWindows(c, kernels); };
    const at::Tensor x =
        RandomValues({2, c.grid * c.grid, c.heads * c.head_width}, 3).to(GetParam());
    const at::Tensor expected = reference->AttendInWindows(x, attention(*reference));
    EXPECT_LE(LargestDifference(kernels_->AttendInWindows(x, attention(*kernels_)), expected),
              4 * HalfStep() * expected.abs().max().item<double>())
        << c.grid << "/" << c.window << " shift " << c.shift << " heads " << c.heads << " x "
        << c.head_width << (c.value_only ? " v" : " qkv");
  }
}

TEST_P(CudaRowsTest, shapes_that_do_not_come_in_fours_go_to_libtorch) {
  const at::Tensor x = RandomValues({3, 6}, 1), weight = RandomValues({7, 6}, 2);
  const at::Tensor expected = at::linear(x.to(GetParam()), weight.to(GetParam()));
  at::Tensor sum = at::zeros({3, 7});
  const auto linear = kernels_->PackLinear({weight, {}});
  linear->AddTo(sum, x);
  EXPECT_LE(LargestDifference(sum, expected), 0.03);
  EXPECT_LE(LargestDifference(linear->Apply(x), expected), 0.03);
  const Norm norm{at::ones({6}), at::zeros({6}), 1e-5};
  EXPECT_LE(LargestDifference(kernels_->LayerNormForLinear(x, norm), kernels_->LayerNorm(x, norm)),
            0.01);
}

TEST_P(CudaRowsTest, attention_is_that_of_the_reference) {
  const auto reference = MakeAtenKernels(at::kCPU, GetParam());
  const at::Tensor qkv = RandomValues({2, 19, 3 * 32}, 6).to(GetParam());
  for (const bool causal : {false, true}) {
    EXPECT_LE(LargestDifference(kernels_->Attention(qkv, 2, causal),
                                reference->Attention(qkv, 2, causal)),
              0.02);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaRowsTest, ::testing::Values(at::kBFloat16, at::kHalf));

}  // namespace
}  // namespace hfwa::kernels
