// The CUDA module on a GPU against its twin on the CPU.

#include <cmath>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/kernels/cuda/cuda_kernels.h"
#include "core/kernels/cuda/module_loader.h"
#include "core/kernels/cuda/twin.h"
#include "core/kernels/epilogue.h"
#include "core/model/device.h"
#include "tests/kernels/cuda_cases.h"

namespace hfwa::kernels {
namespace {

// The twin adds the products of a tensor core one by one, the device in an order of its own.
constexpr double kSums = 2e-6;

class CudaDeviceTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override {
    const auto device = model::OpenDevice("cuda");
    if (!device.ok()) GTEST_SKIP() << "skipped: no CUDA device";
    std::string why;
    const cuda::Api* api = cuda::LoadModule(&why);
    ASSERT_NE(api, nullptr) << why;
    device_ = *device;
    kernels_ = MakeCudaKernels(*api, device_, GetParam());
    twins_ = MakeCudaKernels(cuda::Twin(), at::kCPU, GetParam());
  }

  // A step of the type.
  double Step() const { return GetParam() == at::kHalf ? 1.0 / 1024 : 1.0 / 128; }

  at::Device device_ = at::kCPU;
  std::unique_ptr<Kernels> kernels_;
  std::unique_ptr<Kernels> twins_;
};

TEST_P(CudaDeviceTest, matches_as_its_twin) {
  for (const MatchCase& c : MatchCases()) {
    const at::Tensor values = UnitRows(c.rows, c.width, 1), tokens = UnitRows(c.tokens, c.width, 2);
    const auto rows = kernels_->MakeRows(c.rows, c.width), twin = twins_->MakeRows(c.rows, c.width);
    rows->Put(0, values.to(device_));
    twin->Put(0, values);
    EXPECT_TRUE(at::equal(rows->Get(0, c.rows).cpu(), twin->Get(0, c.rows)));
    EXPECT_LE(LargestDifference(rows->Maximum(tokens.to(device_), c.first, c.count),
                                twin->Maximum(tokens, c.first, c.count)),
              kSums)
        << c.tokens << " tokens of " << c.width << ", rows " << c.first << " + " << c.count;
  }
}

TEST_P(CudaDeviceTest, matches_more_tasks_than_one_launch_takes_and_the_same_each_time) {
  std::vector<std::unique_ptr<Rows>> banks;
  std::vector<RowMatch> matches;
  std::vector<at::Tensor> alone;
  for (int i = 0; i < 130; ++i) {
    const int64_t count = 40 + 31 * i;
    banks.push_back(kernels_->MakeRows(count, 64));
    banks.back()->Put(0, UnitRows(count, 64, i).to(device_));
    matches.push_back({UnitRows(1 + i, 64, i + 1).to(device_), banks.back().get(), i, count - i});
    alone.push_back(banks.back()->Maximum(matches.back().tokens, i, count - i));
  }
  for (int run = 0; run < 5; ++run)
    EXPECT_TRUE(at::equal(kernels_->epilogue()->Maxima(matches), at::cat(alone)));
}

TEST_P(CudaDeviceTest, keeps_what_is_not_a_number) {
  const auto rows = kernels_->MakeRows(200, 32);
  rows->Put(0, UnitRows(200, 32, 1).to(device_));
  at::Tensor tokens = UnitRows(150, 32, 2);
  tokens[131][5] = NAN;
  const at::Tensor best = rows->Maximum(tokens.to(device_), 0, 200).cpu();
  EXPECT_TRUE(std::isnan(best[131].item<float>()));
  EXPECT_EQ(at::isnan(best).sum().item<int64_t>(), 1);
}

TEST_P(CudaDeviceTest, makes_the_twins_maps_and_colours) {
  const at::Tensor colours = at::arange(768, at::kInt).remainder(251).to(at::kByte).view({256, 3});
  for (const MapCase& c : MapCases()) {
    MapSpec spec{c.size, {}};
    if (c.sigma > 0) spec.sigma = c.sigma;
    const at::Tensor diff = RandomValues({c.batch, c.levels, c.grid, c.grid}, 1);
    const at::Tensor few = RandomValues({c.batch, c.levels, c.grid, c.grid}, 2).abs();
    const CombinedMaps maps =
        kernels_->epilogue()->Combine(spec, diff.to(device_), few.to(device_));
    const CombinedMaps twins = twins_->epilogue()->Combine(spec, diff, few);
    EXPECT_LE(LargestDifference(maps.map, twins.map), 1e-6 * static_cast<double>(c.levels));
    const std::vector<float> maxima = MaximaOf(maps);
    const std::vector<float> low(maxima.size(), 0.5F), high(maxima.size(), 3.0F);
    for (int64_t b = 0; b < c.batch; ++b)
      EXPECT_EQ(maxima[static_cast<size_t>(b)], maps.map[b].max().item<float>());
    EXPECT_TRUE(at::equal(kernels_->epilogue()->Colour(maps.map, low, high, colours).cpu(),
                          twins_->epilogue()->Colour(maps.map.cpu(), low, high, colours)));
  }
}

TEST_P(CudaDeviceTest, treats_rows_as_its_twin) {
  const int width = 1028;
  const at::Tensor x = RandomValues({577, width}, 3) * 5 + 20;
  const Norm norm{1 + RandomValues({width}, 1) / 8, RandomValues({width}, 2), 1e-5};
  const Norm there{norm.weight.to(device_), norm.bias.to(device_), norm.eps};
  EXPECT_LE(LargestDifference(kernels_->LayerNormForLinear(x.to(device_), there),
                              twins_->LayerNormForLinear(x, norm)),
            4 * Step());
  // Diagonal weights: the product is exact, so all that differs is the functions' last bit.
  const LinearWeights one{at::eye(64), RandomValues({64}, 4)}, two{at::eye(64), {}};
  const at::Tensor y = at::linspace(-12, 12, 64 * 64).view({64, 64});
  for (const Activation activation :
       {Activation::kNone, Activation::kQuickGelu, Activation::kGelu, Activation::kRelu}) {
    EXPECT_LE(LargestDifference(kernels_->PackMlp({one, two}, activation)->Apply(y.to(device_)),
                                twins_->PackMlp({one, two}, activation)->Apply(y)),
              8 * Step())
        << static_cast<int>(activation);
  }
  at::Tensor sum = y.clone().to(device_), twin = y.clone();
  kernels_->PackLinear(one)->AddTo(sum, y.to(device_));
  twins_->PackLinear(one)->AddTo(twin, y);
  EXPECT_TRUE(at::equal(sum.cpu(), twin));
}

TEST_P(CudaDeviceTest, sums_norms_and_cosines_are_its_twins) {
  for (const int width : {12, 1024, 1028}) {
    const Norm norm{1 + RandomValues({width}, 1) / 8, RandomValues({width}, 2), 1e-5};
    const Norm there{norm.weight.to(device_), norm.bias.to(device_), norm.eps};
    // An exact product, as above.
    const LinearWeights one{at::eye(width), RandomValues({width}, 4)};
    const at::Tensor x = RandomValues({2, 77, width}, 3), y = RandomValues({2, 78, width}, 5);
    at::Tensor sum = x.to(device_), twin = x.clone();
    const at::Tensor normed =
        kernels_->AddThenNorm(*kernels_->PackLinear(one), sum, y.slice(1, 1).to(device_), there);
    EXPECT_LE(LargestDifference(
                  normed, twins_->AddThenNorm(*twins_->PackLinear(one), twin, y.slice(1, 1), norm)),
              4 * Step());
    EXPECT_TRUE(at::equal(sum.cpu(), twin)) << width;

    const at::Tensor view = y.to(device_).slice(1, 1), branch = x.to(GetParam());
    EXPECT_TRUE(at::equal(kernels_->TokensOf(view).for_linear.cpu(), y.slice(1, 1).to(GetParam())));
    const Tokens tokens = kernels_->AddNormed(view, branch.to(device_), there);
    EXPECT_LE(LargestDifference(tokens.value, twins_->AddNormed(y.slice(1, 1), branch, norm).value),
              1e-5);
    EXPECT_TRUE(at::equal(tokens.for_linear, tokens.value.to(GetParam())));

    at::Tensor unit = at::zeros({2, 2, 77, width}, device_), unit_twin = at::zeros({2, 77, width});
    at::Tensor level = unit.select(1, 1);
    kernels_->ToUnitLength(branch.to(device_), level);
    twins_->ToUnitLength(branch, unit_twin);
    EXPECT_LE(LargestDifference(level, unit_twin), 2e-7);
    const at::Tensor pairs = UnitRows(4, width, 6).view({2, 2, width});
    EXPECT_LE(LargestDifference(kernels_->Cosines(branch.to(device_), pairs.to(device_)),
                                twins_->Cosines(branch, pairs)),
              1e-6);
  }
}

TEST_P(CudaDeviceTest, attends_windows_as_its_twin) {
  for (const WindowCase& c : WindowCases()) {
    const at::Tensor x =
        RandomValues({2, c.grid * c.grid, c.heads * c.head_width}, 3).to(GetParam());
    const at::Tensor expected = twins_->AttendInWindows(x, RandomWindows(c, *twins_));
    EXPECT_LE(LargestDifference(
                  kernels_->AttendInWindows(x.to(device_), RandomWindows(c, *kernels_)), expected),
              4 * Step() * expected.abs().max().item<double>())
        << c.grid << "/" << c.window << " shift " << c.shift;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaDeviceTest, ::testing::Values(at::kBFloat16, at::kHalf));

}  // namespace
}  // namespace hfwa::kernels
