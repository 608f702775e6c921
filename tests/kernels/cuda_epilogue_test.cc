// Maps of the CUDA kernels' twin against core/model/maps.h.

#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/kernels/cuda/cuda_kernels.h"
#include "core/kernels/cuda/twin.h"
#include "core/kernels/epilogue.h"
#include "core/model/config.h"
#include "core/model/maps.h"
#include "tests/kernels/cuda_cases.h"

namespace hfwa::kernels {
namespace {

class CudaMapsTest : public ::testing::Test {
 protected:
  const std::unique_ptr<Kernels> kernels_ = MakeCudaKernels(cuda::Twin(), at::kCPU, at::kBFloat16);
  const Epilogue& epilogue_ = *kernels_->epilogue();
};

model::ModelConfig ConfigOf(const MapCase& c) {
  model::ModelConfig config;
  config.map_size = c.size;
  config.filter_sigma.reset();
  if (c.sigma > 0) config.filter_sigma = c.sigma;
  return config;
}

TEST_F(CudaMapsTest, are_those_of_the_model_with_language_or_references_or_both) {
  for (const MapCase& c : MapCases()) {
    const model::ModelConfig config = ConfigOf(c);
    const MapSpec spec{config.map_size, config.filter_sigma};
    ASSERT_TRUE(epilogue_.Takes(spec));
    const at::Tensor diff = RandomValues({c.batch, c.levels, c.grid, c.grid}, 1);
    const at::Tensor few = RandomValues({c.batch, c.levels, c.grid, c.grid}, 2).abs();
    const at::Tensor language = model::ZeroShotMap(config, diff);
    const at::Tensor visual = model::FewShotMap(config, few);
    const auto check = [&](const CombinedMaps& maps, const at::Tensor& expected) {
      // Values up to 2 n; the sigmoid's last bits and the order of sums over levels differ.
      EXPECT_LE(LargestDifference(maps.map, expected), 3e-6 * static_cast<double>(c.levels))
          << c.grid << " to " << c.size << ", sigma " << c.sigma;
      const std::vector<float> maxima = MaximaOf(maps);
      for (int64_t b = 0; b < c.batch; ++b)
        EXPECT_EQ(maxima[static_cast<size_t>(b)], maps.map[b].max().item<float>());
    };
    check(epilogue_.Combine(spec, diff, few), language + visual);
    check(epilogue_.Combine(spec, diff, {}), language);
    check(epilogue_.Combine(spec, {}, few), visual);
  }
}

TEST_F(CudaMapsTest, what_is_not_a_number_shows_in_the_maximum_of_its_image_alone) {
  at::Tensor diff = RandomValues({3, 2, 6, 6}, 1);
  diff[1][0][5][5] = NAN;
  const std::vector<float> maxima = MaximaOf(epilogue_.Combine({40, 2.0}, diff, {}));
  EXPECT_TRUE(std::isfinite(maxima[0]));
  EXPECT_TRUE(std::isnan(maxima[1]));
  EXPECT_TRUE(std::isfinite(maxima[2]));
}

TEST_F(CudaMapsTest, neighbours_change_no_bit) {
  const at::Tensor diff = RandomValues({4, 4, 24, 24}, 1), few = RandomValues({4, 4, 24, 24}, 2);
  const CombinedMaps all = epilogue_.Combine({336, 4.0}, diff, few);
  const CombinedMaps one = epilogue_.Combine({336, 4.0}, diff.slice(0, 2, 3), few.slice(0, 2, 3));
  EXPECT_TRUE(at::equal(all.map[2], one.map[0]));
}

TEST_F(CudaMapsTest, filters_and_maps_too_large_for_a_block_are_not_taken) {
  EXPECT_TRUE(epilogue_.Takes({2048, 32.0}));
  EXPECT_FALSE(epilogue_.Takes({2048, 33.0}));
  EXPECT_FALSE(epilogue_.Takes({2049, 4.0}));
}

}  // namespace
}  // namespace hfwa::kernels
