#include "core/kernels/kernels.h"

#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "core/kernels/aten/packed_linear.h"
#include "core/kernels/windows.h"

namespace hfwa::kernels {
namespace {

at::Tensor Random(at::IntArrayRef shape, int seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}

double LargestDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

LinearWeights RandomLinear(int out, int in, bool bias, int seed) {
  return {Random({out, in}, seed) / std::sqrt(in), bias ? Random({out}, seed + 1) : at::Tensor()};
}

TEST(PackedLinearTest, packed_weights_give_what_plain_ones_give) {
  using Fused = PackedLinear::Fused;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const bool bias : {false, true}) {
      const LinearWeights weights = RandomLinear(96, 64, bias, 1);
      const PackedLinear packed(weights, at::kCPU, type);
      const PackedLinear plain(weights, at::kCPU, type, /*allow_packing=*/false);
      ASSERT_FALSE(plain.packed());
      for (const int rows : {1, 7, 577}) {
        for (const Fused fused : {Fused::kNone, Fused::kGelu, Fused::kRelu, Fused::kSwish}) {
          const at::Tensor x = Random({rows, 64}, rows);
          const at::Tensor a = packed.Apply(x, fused), b = plain.Apply(x, fused);
          ASSERT_EQ(a.scalar_type(), type);
          ASSERT_EQ(a.sizes(), b.sizes());
          // fp32: order of the sum. bf16: fusing saves one rounding, a step at 4 is 1/64.
          EXPECT_LE(LargestDifference(a, b), type == at::kFloat ? 2e-6 : 3.2e-2)
              << "rows " << rows << " bias " << bias << " fused " << static_cast<int>(fused);
        }
      }
    }
  }
}

TEST(PackedLinearTest, keeps_leading_dimensions_and_strided_input) {
  const LinearWeights weights = RandomLinear(8, 6, true, 3);
  const PackedLinear linear(weights, at::kCPU, at::kFloat);
  const at::Tensor x = Random({2, 5, 6}, 4).slice(1, 1);
  EXPECT_LE(LargestDifference(linear.Apply(x), at::linear(x, weights.weight, weights.bias)), 2e-6);
}

TEST(MlpTest, quick_gelu_folded_into_the_weights_is_quick_gelu) {
  const auto kernels = MakeAtenKernels(at::kCPU, at::kFloat);
  const LinearWeights first = RandomLinear(64, 32, true, 5), second = RandomLinear(32, 64, true, 7);
  const at::Tensor x = Random({9, 32}, 9) * 3;
  const at::Tensor hidden = at::linear(x, first.weight, first.bias);
  const at::Tensor expected =
      at::linear(hidden * at::sigmoid(1.702 * hidden), second.weight, second.bias);
  const auto mlp = kernels->PackMlp({first, second}, Activation::kQuickGelu);
  EXPECT_LE(LargestDifference(mlp->Apply(x), expected), 1e-5);
}

TEST(MlpTest, has_no_activation_after_the_last_layer) {
  const auto kernels = MakeAtenKernels(at::kCPU, at::kFloat);
  const LinearWeights only = RandomLinear(16, 16, false, 11);
  const at::Tensor x = Random({3, 16}, 12);
  for (const Activation activation :
       {Activation::kQuickGelu, Activation::kGelu, Activation::kRelu}) {
    EXPECT_LE(LargestDifference(kernels->PackMlp({only}, activation)->Apply(x),
                                at::linear(x, only.weight)),
              2e-6);
  }
}

TEST(AttentionTest, is_softmax_of_scaled_products_times_values) {
  const auto kernels = MakeAtenKernels(at::kCPU, at::kFloat);
  const int tokens = 7, heads = 2, width = 8, d = width / heads;
  const at::Tensor qkv = Random({2, tokens, 3 * width}, 13);
  for (const bool causal : {false, true}) {
    const at::Tensor y = kernels->Attention(qkv, heads, causal);
    for (int b = 0; b < 2; ++b) {
      for (int h = 0; h < heads; ++h) {
        const auto part = [&](int which) {
          return qkv[b].slice(1, which * width + h * d, which * width + (h + 1) * d);
        };
        at::Tensor logits = at::mm(part(0), part(1).t()) / std::sqrt(static_cast<double>(d));
        if (causal) {
          logits = logits.masked_fill(at::ones({tokens, tokens}, at::kBool).triu(1), -INFINITY);
        }
        const at::Tensor expected = at::mm(logits.softmax(1), part(2));
        EXPECT_LE(LargestDifference(y[b].slice(1, h * d, (h + 1) * d), expected), 2e-6) << causal;
      }
    }
  }
}

// Window attention written out from its definition, in double, token by token.
at::Tensor NaiveWindowAttention(const at::Tensor& x, const WindowAttention& a,
                                const at::Tensor& in_weight, const LinearWeights& out) {
  const int64_t width = x.size(2), d = width / a.heads;
  const at::Tensor windows = CutWindows(x, a.grid, a.window, a.shift).to(at::kDouble);
  const at::Tensor projected = at::matmul(windows, in_weight.to(at::kDouble).t());
  at::Tensor result = at::zeros_like(windows);
  for (int64_t w = 0; w < windows.size(0); ++w) {
    for (int h = 0; h < a.heads; ++h) {
      const auto part = [&](int64_t which) {
        return projected[w].slice(1, which * width + h * d, which * width + (h + 1) * d);
      };
      const at::Tensor q = part(0), k = part(a.value_only ? 0 : 1), v = part(a.value_only ? 0 : 2);
      const int64_t tokens = windows.size(1);
      for (int64_t i = 0; i < tokens; ++i) {
        std::vector<double> logits;
        for (int64_t j = 0; j < tokens; ++j) {
          const double cosine = (q[i].dot(k[j]) / (q[i].norm() * k[j].norm())).item<double>();
          const at::Tensor bias = a.bias[a.bias.size(0) == 1 ? 0 : w % a.bias.size(0)];
          logits.push_back(cosine * a.scale[h].item<double>() + bias[h][i][j].item<double>());
        }
        const at::Tensor weights = at::tensor(logits, at::kDouble).softmax(0);
        result[w][i].slice(0, h * d, (h + 1) * d).copy_(at::mv(v.t(), weights));
      }
    }
  }
  return at::linear(result, out.weight.to(at::kDouble), out.bias.to(at::kDouble));
}

TEST(AttendWindowsTest, equals_the_definition_with_shift_and_mask_and_both_similarities) {
  const auto kernels = MakeAtenKernels(at::kCPU, at::kFloat);
  const int width = 8, heads = 2;
  for (const bool value_only : {true, false}) {
    for (const int shift : {0, 1}) {
      WindowAttention a;
      a.grid = 4;
      a.window = 2;
      a.shift = shift;
      a.heads = heads;
      a.value_only = value_only;
      const at::Tensor in = Random({value_only ? width : 3 * width, width}, 17);
      const LinearWeights out = RandomLinear(width, width, true, 18);
      a.in_proj = kernels->PackLinear({in, {}});
      a.out_proj = kernels->PackLinear(out);
      a.scale = at::tensor({3.0F, 100.0F}).view({heads, 1, 1});
      a.bias = Random({1, heads, 4, 4}, 19);
      if (shift > 0) a.bias = a.bias + ShiftMask(a.grid, a.window, shift).unsqueeze(1);
      const at::Tensor x = Random({2, 16, width}, 20);
      EXPECT_LE(
          LargestDifference(kernels->AttendWindows(x, a), NaiveWindowAttention(x, a, in, out)),
          2e-5)
          << "value only " << value_only << " shift " << shift;
    }
  }
}

TEST(AttendWindowsTest, a_token_of_length_zero_gives_finite_numbers) {
  const auto kernels = MakeAtenKernels(at::kCPU, at::kFloat);
  WindowAttention a;
  a.grid = a.window = 2;
  a.heads = 1;
  a.in_proj = kernels->PackLinear({at::eye(4), {}});
  a.out_proj = kernels->PackLinear({at::eye(4), {}});
  a.scale = at::ones({1, 1, 1});
  a.bias = at::zeros({1, 1, 4, 4});
  EXPECT_TRUE(at::isfinite(kernels->AttendWindows(at::zeros({1, 4, 4}), a)).all().item<bool>());
}

TEST(RowMaximumTest, finds_the_best_row_in_any_block) {
  const auto kernels = MakeAtenKernels(at::kCPU, at::kFloat);
  const at::Tensor tokens = Random({5, 16}, 21), rows = Random({20000, 16}, 22);
  const at::Tensor expected = at::mm(tokens, rows.t()).amax(1);
  EXPECT_LE(LargestDifference(kernels->RowMaximum(tokens, rows), expected), 1e-5);
  const at::Tensor one = rows.slice(0, 0, 1);
  EXPECT_LE(LargestDifference(kernels->RowMaximum(tokens, one), at::mv(tokens, one[0])), 1e-5);
}

}  // namespace
}  // namespace hfwa::kernels
