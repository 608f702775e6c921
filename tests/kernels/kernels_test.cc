#include "core/kernels/kernels.h"

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "core/kernels/aten/packed_linear.h"
#include "core/kernels/cpu/avx512_linear.h"
#include "core/kernels/cpu/cpu_kernels.h"
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

at::Tensor NaiveAttention(const at::Tensor& qkv, int heads) {
  const int64_t batch = qkv.size(0), tokens = qkv.size(1), width = qkv.size(2) / 3;
  const at::Tensor parts =
      qkv.to(at::kDouble).view({batch, tokens, 3, heads, width / heads}).permute({2, 0, 3, 1, 4});
  const int64_t head_dim = width / heads;
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  const at::Tensor weights = (at::matmul(parts[0], parts[1].transpose(2, 3)) * scale).softmax(-1);
  return at::matmul(weights, parts[2]).transpose(1, 2).reshape({batch, tokens, width});
}

// Kernels for AVX-512, fp32 and bf16.
class Avx512KernelsTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override {
    if (kernels == nullptr) GTEST_SKIP() << "this processor has no AVX-512 for the type";
  }
  at::ScalarType type() const { return GetParam(); }
  bool bf16() const { return type() == at::kBFloat16; }
  // What rounding a result of magnitude one may cost: half a step of bf16's 8 bits, or what sums of
  // a thousand fp32 products in another order do.
  double step() const { return bf16() ? 1.0 / 256 : 4e-6; }

  const std::unique_ptr<Kernels> kernels = MakeAvx512Kernels(GetParam(), Products::kOwn);
};

INSTANTIATE_TEST_SUITE_P(Types, Avx512KernelsTest, ::testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& type) {
                           return std::string(type.param == at::kFloat ? "fp32" : "bf16");
                         });

TEST_P(Avx512KernelsTest, attention_of_any_shape_is_that_of_the_definition) {
  for (const auto& [tokens, heads, head_dim] :
       {std::tuple(1, 1, 16), std::tuple(5, 2, 8), std::tuple(16, 2, 48), std::tuple(33, 3, 80),
        std::tuple(64, 2, 64), std::tuple(257, 6, 64), std::tuple(577, 2, 64)}) {
    for (const float spread : {1.0F, 8.0F}) {
      const at::Tensor qkv =
          (Random({2, tokens, 3 * heads * head_dim}, tokens) * spread).to(type());
      const at::Tensor y = kernels->Attention(qkv, heads, /*causal=*/false);
      ASSERT_EQ(y.scalar_type(), type());
      // Weights and outputs are rounded, each at most half a step off.
      const double largest = qkv.abs().max().item<double>();
      // In fp32 what counts are the scores' roundings, which grow with them.
      EXPECT_LE(LargestDifference(y, NaiveAttention(qkv, heads)),
                largest * step() * (bf16() ? 1 : spread))
          << tokens << " tokens, " << heads << " heads of " << head_dim;
      // No bit depends on the neighbour or on the number of threads.
      const int threads = at::get_num_threads();
      at::set_num_threads(1);
      EXPECT_TRUE(at::equal(kernels->Attention(qkv.slice(0, 1), heads, false), y.slice(0, 1)));
      at::set_num_threads(threads);
    }
  }
}

TEST_P(Avx512KernelsTest, what_is_not_a_number_stays_so) {
  const auto is_nan = [](const at::Tensor& x) { return at::isnan(x).all().item<bool>(); };
  at::Tensor qkv = Random({1, 20, 3 * 16}, 1).to(type());
  qkv[0][7][16] = NAN;  // one key: every query sees it
  EXPECT_TRUE(is_nan(kernels->Attention(qkv, 1, false)));
  at::Tensor x = Random({20, 16}, 2);
  x[3][5] = NAN;
  for (const Activation activation :
       {Activation::kNone, Activation::kQuickGelu, Activation::kGelu, Activation::kRelu}) {
    const auto mlp = kernels->PackMlp({{at::eye(16), {}}, {at::ones({16, 16}), {}}}, activation);
    EXPECT_TRUE(is_nan(mlp->Apply(x)[3])) << static_cast<int>(activation);
  }
  EXPECT_TRUE(is_nan(kernels->LayerNormForLinear(x, {at::ones({16}), at::zeros({16})})[3]));
  const auto rows = kernels->MakeRows(130, 16);
  rows->Put(0, Random({130, 16}, 3));
  const at::Tensor best = rows->Maximum(x, 0, 130);
  EXPECT_TRUE(std::isnan(best[3].item<float>()));
  EXPECT_TRUE(at::isfinite(best[4]).item<bool>());
}

TEST_P(Avx512KernelsTest, attention_survives_scores_that_differ_by_more_than_exponents_do) {
  at::Tensor qkv = at::zeros({1, 20, 3 * 16}, type());
  qkv[0][3].slice(0, 0, 16).fill_(300);   // one query far along ...
  qkv[0][7].slice(0, 16, 32).fill_(300);  // ... one key, and against another
  qkv[0][8].slice(0, 16, 32).fill_(-300);
  qkv[0][7].slice(0, 32).fill_(2);
  const at::Tensor y = kernels->Attention(qkv, 1, false);
  EXPECT_TRUE(at::isfinite(y).all().item<bool>());
  EXPECT_TRUE(at::equal(y[0][3], at::full({16}, 2, type())));
}

TEST_P(Avx512KernelsTest, norms_for_linear_maps) {
  for (const int width : {8, 16, 48, 1024}) {
    const Norm norm{1 + Random({width}, 1) / 8, Random({width}, 2), 1e-5};
    const at::Tensor x = Random({2, 37, width}, 3) * 5 + 20;
    const at::Tensor expected =
        at::layer_norm(x.to(at::kDouble), {width}, norm.weight.to(at::kDouble),
                       norm.bias.to(at::kDouble), norm.eps);
    EXPECT_LE(LargestDifference(kernels->LayerNormForLinear(x, norm), expected),
              bf16() ? 0.02 : 1e-4)
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

TEST_P(Avx512KernelsTest, linear_maps_of_any_shape_are_sums_of_rounded_products) {
  for (const auto& [rows, in, out] :
       {std::tuple(1, 2, 1), std::tuple(7, 6, 16), std::tuple(13, 64, 70), std::tuple(97, 1026, 64),
        std::tuple(200, 2500, 130), std::tuple(5, 7, 9)}) {
    for (const bool bias : {false, true}) {
      LinearWeights weights = RandomLinear(out, in, bias, rows);
      const auto linear = kernels->PackLinear(weights);
      const at::Tensor x = Random({rows, in}, 3).to(type());
      const at::Tensor rounded = weights.weight.to(type()).to(at::kDouble);
      at::Tensor exact = at::mm(x.to(at::kDouble), rounded.t());
      if (bias) exact += weights.bias.to(at::kDouble);
      const at::Tensor y = linear->Apply(x);
      EXPECT_LE(LargestDifference(y, exact),
                exact.abs().max().item<double>() * step() + (bf16() ? 1e-4 : 0))
          << rows << " x " << in << " x " << out;
      at::Tensor sum = Random({rows, out}, 4);
      const at::Tensor expected = sum.to(at::kDouble) + exact;
      linear->AddTo(sum, x);
      // Sums are not rounded again, but by LibTorch's operator in bf16.
      EXPECT_LE(LargestDifference(sum, expected), in % 2 == 0 || !bf16() ? 2e-5 : 0.03)
          << rows << " x " << in << " x " << out;
      // Neither neighbours nor the number of threads change a bit.
      const int threads = at::get_num_threads();
      at::set_num_threads(1);
      EXPECT_TRUE(at::equal(linear->Apply(x.slice(0, rows - 1)), y.slice(0, rows - 1)) ||
                  (bf16() && in % 2));
      at::set_num_threads(threads);
    }
  }
}

TEST_P(Avx512KernelsTest, activations_are_those_of_their_definitions) {
  const at::Tensor x = at::cat({at::linspace(-30, 30, 4001), at::linspace(-2, 2, 4001)})
                           .to(type())
                           .view({-1, 1})
                           .expand({-1, 2})
                           .contiguous();
  const LinearWeights first{at::tensor({1.0F, 0.0F}).view({1, 2}).expand({2, 2}).contiguous(), {}};
  const LinearWeights second{at::eye(2), {}};
  for (const Activation activation :
       {Activation::kNone, Activation::kQuickGelu, Activation::kGelu, Activation::kRelu}) {
    const at::Tensor y = kernels->PackMlp({first, second}, activation)->Apply(x).to(at::kDouble);
    const at::Tensor expected = Activated(activation, x.to(at::kDouble));
    // Rounded once, and to nothing below 1e-6.
    const at::Tensor allowed = expected.abs() * (bf16() ? 1.0 / 256 : 1e-6) + 1e-6;
    EXPECT_TRUE(((y - expected).abs() <= allowed).all().item<bool>())
        << static_cast<int>(activation) << " "
        << ((y - expected).abs() / allowed).max().item<double>();
  }
}

// A matrix as int8 stands for it: each row's largest magnitude is 127 steps.
at::Tensor Quantized(const at::Tensor& x) {
  const at::Tensor exact = x.to(at::kDouble);
  const at::Tensor scale = exact.abs().amax(-1, /*keepdim=*/true).clamp_min(1e-30) / 127;
  return at::round(exact / scale) * scale;
}

// Results in fp32 are for processors without AVX512-BF16.
class Int8KernelsTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override {
    if (kernels == nullptr) GTEST_SKIP() << "this processor has no AVX512-VNNI or no such type";
  }
  const std::unique_ptr<Kernels> kernels = MakeAvx512Kernels(GetParam(), Products::kInt8);
};

INSTANTIATE_TEST_SUITE_P(Types, Int8KernelsTest, ::testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& type) {
                           return std::string(type.param == at::kFloat ? "fp32" : "bf16");
                         });

TEST_P(Int8KernelsTest, linear_maps_are_products_of_rounded_rows) {
  const at::ScalarType type = kernels->compute_type();
  for (const auto& [rows, in, out] :
       {std::tuple(1, 4, 1), std::tuple(7, 8, 16), std::tuple(13, 64, 70), std::tuple(97, 1024, 64),
        std::tuple(50, 5000, 130)}) {
    for (const bool bias : {false, true}) {
      const LinearWeights weights = RandomLinear(out, in, bias, rows);
      const auto linear = kernels->PackLinear(weights);
      const at::Tensor x = (Random({rows, in}, 3) * 5).to(type);
      at::Tensor exact = at::mm(Quantized(x), Quantized(weights.weight).t());
      if (bias) exact += weights.bias.to(at::kDouble);
      const double largest = exact.abs().max().item<double>();
      at::Tensor sum = at::zeros({rows, out});
      linear->AddTo(sum, x);
      // A value half way between two steps may be rounded to either: a few such.
      const double half_way = 3 * (x.abs().max() * weights.weight.abs().max()).item<double>() / 127;
      EXPECT_LE(LargestDifference(sum, exact), 2e-5 + half_way)
          << rows << " x " << in << " x " << out;
      const at::Tensor y = linear->Apply(x);
      EXPECT_LE(LargestDifference(y, sum), largest / 256);
      const at::Tensor plain = at::linear(x.to(at::kFloat), weights.weight, weights.bias);
      EXPECT_LE((y.to(at::kFloat) - plain).norm().item<double>(),
                0.02 * plain.norm().item<double>());
      // Neither neighbours nor the number of threads change a bit.
      const int threads = at::get_num_threads();
      at::set_num_threads(1);
      EXPECT_TRUE(at::equal(linear->Apply(x.slice(0, rows - 1)), y.slice(0, rows - 1)));
      at::set_num_threads(threads);
    }
  }
}

TEST_P(Int8KernelsTest, rows_of_zeros_give_the_bias_and_what_is_not_finite_stays_so) {
  const LinearWeights weights = RandomLinear(6, 16, true, 1);
  const auto linear = kernels->PackLinear(weights);
  for (const float strange : {NAN, INFINITY, -INFINITY}) {
    at::Tensor x = Random({20, 16}, 2);
    x[2].zero_();
    x[3][5] = strange;
    at::Tensor y = at::zeros({20, 6});
    linear->AddTo(y, x);
    EXPECT_TRUE(at::equal(y[2], weights.bias));
    EXPECT_TRUE(at::isnan(y[3]).all().item<bool>());
    EXPECT_TRUE(at::isfinite(y[4]).all().item<bool>());
  }
  LinearWeights damaged = RandomLinear(6, 16, true, 1);
  damaged.weight[1][2] = NAN;
  const at::Tensor y = kernels->PackLinear(damaged)->Apply(Random({1, 16}, 3))[0];
  EXPECT_TRUE(std::isnan(y[1].item<float>()));
  EXPECT_TRUE(std::isfinite(y[0].item<float>()));
}

// A linear map's whole result, and what AddTo gives.
std::vector<at::Tensor> Results(const Linear& linear, const at::Tensor& x) {
  const at::Tensor y = linear.Apply(x);
  at::Tensor sum = at::ones(y.sizes(), at::kFloat);
  linear.AddTo(sum, x);
  return {y.to(at::kFloat), sum};
}

// Products on the tiles of AMX: on this processor if it has them, else as their description says.
TEST(TilesTest, give_what_vectors_give_whatever_the_number_of_rows) {
  if (MakeAvx512Kernels(at::kBFloat16, Products::kInt8) == nullptr)
    GTEST_SKIP() << "this processor has no AVX512-BF16 or no AVX512-VNNI";
  std::vector<Registers> kinds{Registers::kSoftwareTiles};
  if (HasTiles()) kinds.push_back(Registers::kTiles);
  for (const Registers registers : kinds) {
    for (const auto& [in, out] : {std::pair(64, 64), std::pair(192, 70), std::pair(1024, 130)}) {
      const LinearWeights weights = RandomLinear(out, in, true, in);
      const auto bf16 = MakeAvx512Linear<uint16_t>(weights, Activation::kGelu, registers);
      const auto int8 = MakeInt8Linear<uint16_t>(weights, Activation::kGelu, registers);
      const auto plain_bf16 =
          MakeAvx512Linear<uint16_t>(weights, Activation::kGelu, Registers::kVectors);
      const auto plain_int8 =
          MakeInt8Linear<uint16_t>(weights, Activation::kGelu, Registers::kVectors);
      const at::Tensor all = Random({97, in}, 3).to(at::kBFloat16);
      for (const int rows : {1, 15, 16, 17, 32, 33, 97}) {
        const at::Tensor x = all.slice(0, 0, rows);
        for (int i = 0; i < 2; ++i) {
          EXPECT_TRUE(at::equal(Results(*int8, x)[i], Results(*plain_int8, x)[i]))
              << rows << " x " << in << " x " << out;
          EXPECT_LE(LargestDifference(Results(*bf16, x)[i], Results(*plain_bf16, x)[i]),
                    i == 0 ? 4.0 / 128 : 2e-5)
              << rows << " x " << in << " x " << out;
          // Neighbours change no bit.
          EXPECT_TRUE(at::equal(Results(*bf16, all)[i].slice(0, 0, rows), Results(*bf16, x)[i]));
        }
      }
    }
  }
}

TEST_P(Int8KernelsTest, sensitive_maps_and_odd_widths_are_in_the_compute_type) {
  const LinearWeights odd = RandomLinear(6, 10, true, 1);
  LinearWeights sensitive = RandomLinear(6, 16, true, 1);
  sensitive.sensitive = true;
  const auto plain = MakeKernels(at::kCPU, kernels->compute_type());
  for (const LinearWeights& weights : {odd, sensitive}) {
    const at::Tensor x = Random({5, weights.weight.size(1)}, 2);
    EXPECT_TRUE(
        at::equal(kernels->PackLinear(weights)->Apply(x), plain->PackLinear(weights)->Apply(x)));
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

// The definition in fp32; in bf16, LibTorch's operators after the same rounded projection.
void CheckWindows(at::ScalarType type, int width, double tolerance /* of the largest */) {
  const auto kernels = MakeKernels(at::kCPU, type);
  const int heads = 2;
  for (const bool value_only : {true, false}) {
    for (const int shift : {0, 1}) {
      WindowAttention a;
      a.grid = 4;
      a.window = 2;
      a.shift = shift;
      a.order = WindowOrder(a.grid, a.window, a.shift);
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
      const at::Tensor expected = type == at::kFloat
                                      ? NaiveWindowAttention(x, a, in, out)
                                      : MakeAtenKernels(at::kCPU, type)->AttendWindows(x, a);
      EXPECT_LE(LargestDifference(kernels->AttendWindows(x, a), expected),
                tolerance * expected.abs().max().item<double>())
          << "value only " << value_only << " shift " << shift;
    }
  }
}

TEST(AttendWindowsTest, equals_the_definition_with_shift_and_mask_and_both_similarities) {
  CheckWindows(at::kFloat, 8, 2e-6);
  // Weights, sums and results are rounded to 8 bits.
  CheckWindows(at::kBFloat16, 32, 1.0 / 128);
}

TEST(AttendWindowsTest, a_token_of_length_zero_gives_finite_numbers) {
  const auto kernels = MakeAtenKernels(at::kCPU, at::kFloat);
  WindowAttention a;
  a.grid = a.window = 2;
  a.order = WindowOrder(2, 2, 0);
  a.heads = 1;
  a.in_proj = kernels->PackLinear({at::eye(4), {}});
  a.out_proj = kernels->PackLinear({at::eye(4), {}});
  a.scale = at::ones({1, 1, 1});
  a.bias = at::zeros({1, 1, 4, 4});
  EXPECT_TRUE(at::isfinite(kernels->AttendWindows(at::zeros({1, 4, 4}), a)).all().item<bool>());
}

TEST(RowsTest, find_the_best_row_of_any_range) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const auto kernels = MakeKernels(at::kCPU, type);
    for (const int width : {16, 10, 7}) {
      const at::Tensor rows = Random({20000, width}, 22);
      const auto packed = kernels->MakeRows(rows.size(0), width);
      packed->Put(0, rows.slice(0, 0, 70));
      packed->Put(70, rows.slice(0, 70));
      const at::Tensor kept = packed->Get(0, rows.size(0));
      EXPECT_LE(LargestDifference(kept, rows), type == at::kFloat ? 0 : 4.0 / 256);
      EXPECT_TRUE(at::equal(packed->Get(65, 3), kept.slice(0, 65, 68)));
      for (const int count : {1, 5, 13}) {
        at::Tensor tokens = Random({count, width}, 21);
        if (type == at::kBFloat16) tokens = tokens.to(type).to(at::kFloat);
        for (const auto& [first, end] :
             {std::pair(0, 20000), std::pair(0, 1), std::pair(63, 64), std::pair(60, 130),
              std::pair(64, 128), std::pair(19999, 20000)}) {
          const at::Tensor expected = at::mm(tokens, kept.slice(0, first, end).t()).amax(1);
          const at::Tensor best = packed->Maximum(tokens, first, end - first);
          EXPECT_LE(LargestDifference(best, expected), 2e-5)
              << type << " width " << width << " rows " << first << " to " << end;
        }
      }
    }
  }
}

}  // namespace
}  // namespace hfwa::kernels
