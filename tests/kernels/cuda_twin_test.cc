// The CUDA kernels' own arithmetic, run block by block on the CPU, against plain definitions.

#include <cmath>
#include <tuple>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/kernels/cuda/cuda_kernels.h"
#include "core/kernels/cuda/numbers.h"
#include "core/kernels/cuda/twin.h"
#include "core/kernels/epilogue.h"
#include "tests/kernels/cuda_cases.h"

namespace hfwa::kernels {
namespace {

std::unique_ptr<Kernels> Twins(at::ScalarType type = at::kBFloat16) {
  return MakeCudaKernels(cuda::Twin(), at::kCPU, type);
}

TEST(CudaNumbersTest, sixteen_bit_types_convert_as_libtorch_converts_them) {
  at::Tensor bits = at::arange(65536, at::kInt).to(at::kShort);
  for (const bool half : {true, false}) {
    const at::Tensor values = bits.view(half ? at::kHalf : at::kBFloat16).to(at::kFloat);
    const float* expected = values.const_data_ptr<float>();
    for (int i = 0; i < 65536; ++i) {
      const auto pattern = static_cast<uint16_t>(i);
      const float value = half ? cuda::FromFp16(pattern) : cuda::FromBf16(pattern);
      if (std::isnan(expected[i])) {
        ASSERT_TRUE(std::isnan(value)) << i;
        ASSERT_TRUE(std::isnan(half ? cuda::FromFp16(cuda::ToFp16(value))
                                    : cuda::FromBf16(cuda::ToBf16(value))));
        continue;
      }
      ASSERT_EQ(value, expected[i]) << i;
      ASSERT_EQ(half ? cuda::ToFp16(value) : cuda::ToBf16(value), pattern) << i;
    }
    // Rounding, ties, and what is too large or too small.
    const at::Tensor between =
        at::cat({RandomValues({4000}, 1) * 1e-6, RandomValues({4000}, 2) * 70000,
                 at::tensor({65519.0F, 65520.0F, -65520.0F, 2.98e-8F, 2.99e-8F, 8.94e-8F,
                             1.00048828125F, 1.00146484375F, 1.00390625F, 1.01171875F, 3.4e38F})});
    const at::Tensor rounded = between.to(half ? at::kHalf : at::kBFloat16).view(at::kShort);
    for (int64_t i = 0; i < between.numel(); ++i) {
      const float value = between.const_data_ptr<float>()[i];
      const auto pattern = static_cast<uint16_t>(rounded.const_data_ptr<int16_t>()[i]);
      ASSERT_EQ(half ? cuda::ToFp16(value) : cuda::ToBf16(value), pattern) << value;
    }
  }
}

TEST(CudaNumbersTest, keys_order_as_their_floats) {
  const std::vector<float> sorted = {-INFINITY, -3.0F, -1e-40F, 0.0F, 1e-40F, 0.5F, 1.0F, INFINITY};
  for (size_t i = 0; i < sorted.size(); ++i) {
    EXPECT_EQ(cuda::FromKey(cuda::KeyOf(sorted[i])), sorted[i]);
    EXPECT_GT(cuda::KeyOf(sorted[i]), i == 0 ? 0U : cuda::KeyOf(sorted[i - 1]));
    EXPECT_LT(cuda::KeyOf(sorted[i]), cuda::KeyOf(NAN));
  }
  EXPECT_TRUE(std::isnan(cuda::FromKey(cuda::KeyOf(-NAN))));
}

TEST(CudaMatchTest, any_range_of_rows_gives_the_largest_product) {
  for (const MatchCase& c : MatchCases()) {
    const auto kernels = Twins();
    const auto rows = kernels->MakeRows(c.rows, c.width);
    const at::Tensor values = UnitRows(c.rows, c.width, 1), tokens = UnitRows(c.tokens, c.width, 2);
    rows->Put(0, values);
    EXPECT_LE(LargestDifference(rows->Get(0, c.rows), values), 1.0 / 2048);
    const at::Tensor kept = rows->Get(c.first, c.count).to(at::kDouble);
    const at::Tensor expected = at::mm(tokens.to(at::kHalf).to(at::kDouble), kept.t()).amax(1);
    // Products of fp16 are exact in fp32; only the order of the sums differs.
    EXPECT_LE(LargestDifference(rows->Maximum(tokens, c.first, c.count), expected), 1e-6)
        << c.tokens << " tokens of " << c.width << ", rows " << c.first << " + " << c.count;
    // What fp16 costs.
    const at::Tensor exact =
        at::mm(tokens, values.slice(0, c.first, c.first + c.count).t()).amax(1);
    EXPECT_LE(LargestDifference(expected, exact), 3e-4);
  }
}

TEST(CudaMatchTest, the_last_row_counts_and_none_beyond_it) {
  // Products that rise from row to row and stay negative: what is beyond the last would be larger,
  // be it the next row or the zeros that fill a tile up.
  const auto kernels = Twins();
  const at::Tensor token = UnitRows(1, 16, 1);
  const at::Tensor factors = at::linspace(-1.0, -0.1, 300).view({-1, 1});
  const auto rows = kernels->MakeRows(300, 16);
  rows->Put(0, at::matmul(factors, token));
  const at::Tensor products = at::mm(rows->Get(0, 300), token.to(at::kHalf).to(at::kFloat).t());
  for (int count = 1; count <= 290; count += count < 20 || count > 120 ? 1 : 20) {
    EXPECT_NEAR(rows->Maximum(token, 3, count).item<float>(), products[3 + count - 1].item<float>(),
                1e-6)
        << count;
  }
}

TEST(CudaMatchTest, mixed_products_in_one_launch_give_what_each_gives_alone) {
  const auto kernels = Twins();
  std::vector<std::unique_ptr<Rows>> banks;
  std::vector<RowMatch> matches;
  std::vector<at::Tensor> alone;
  for (int i = 0; i < 5; ++i) {
    const int64_t count = 40 + 111 * i;
    banks.push_back(kernels->MakeRows(count, 64));
    banks.back()->Put(0, UnitRows(count, 64, i));
    matches.push_back({UnitRows(1 + 70 * i, 64, 10 + i), banks.back().get(), i, count - 2 * i});
    alone.push_back(banks.back()->Maximum(matches.back().tokens, i, count - 2 * i));
  }
  EXPECT_TRUE(at::equal(kernels->epilogue()->Maxima(matches), at::cat(alone)));
}

TEST(CudaMatchTest, what_is_not_a_number_stays_so_and_stays_there) {
  const auto kernels = Twins();
  const auto rows = kernels->MakeRows(200, 32);
  at::Tensor values = UnitRows(200, 32, 1), tokens = UnitRows(150, 32, 2);
  tokens[131][5] = NAN;
  rows->Put(0, values);
  at::Tensor best = rows->Maximum(tokens, 0, 200);
  EXPECT_TRUE(std::isnan(best[131].item<float>()));
  EXPECT_EQ(at::isnan(best).sum().item<int64_t>(), 1);
  values[150][3] = NAN;
  rows->Put(0, values);
  EXPECT_TRUE(at::isnan(rows->Maximum(tokens, 0, 200)).all().item<bool>());
  EXPECT_EQ(at::isnan(rows->Maximum(tokens, 0, 150)).sum().item<int64_t>(), 1);
}

TEST(CudaMatchTest, widths_that_the_tensor_cores_do_not_take_go_to_libtorch) {
  const auto kernels = Twins();
  const auto rows = kernels->MakeRows(9, 6);
  const at::Tensor values = UnitRows(9, 6, 1), tokens = UnitRows(4, 6, 2);
  rows->Put(0, values);
  const at::Tensor expected = at::mm(tokens, values.t()).amax(1);
  EXPECT_LE(LargestDifference(kernels->epilogue()->Maxima({{tokens, rows.get(), 0, 9}}), expected),
            1e-6);
}

}  // namespace
}  // namespace hfwa::kernels
