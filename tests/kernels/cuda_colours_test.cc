// Colours of the CUDA kernels' twin against core/image.

#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/image/render.h"
#include "core/kernels/cuda/cuda_kernels.h"
#include "core/kernels/cuda/twin.h"
#include "core/kernels/epilogue.h"
#include "tests/kernels/cuda_cases.h"

namespace hfwa::kernels {
namespace {

TEST(CudaColoursTest, are_those_of_the_pictures) {
  const auto kernels = MakeCudaKernels(cuda::Twin(), at::kCPU, at::kBFloat16);
  image::FloatMap ramp{.width = 256, .height = 1, .values = {}};
  for (int i = 0; i < 256; ++i) ramp.values.push_back(static_cast<float>(i));
  const image::Image table = image::ColorMap(ramp, 0, 255);
  const at::Tensor colours = at::tensor(at::ArrayRef<uint8_t>(table.rgb), at::kByte).view({256, 3});
  for (const auto& [height, width] : {std::pair(336, 336), std::pair(7, 5), std::pair(1, 1)}) {
    const int batch = 3;
    at::Tensor maps = RandomValues({batch, height, width}, 3) * 2;
    maps[1][0][0] = NAN;
    maps[2][0][0] = INFINITY;
    const std::vector<float> low = {-1.0F, 0.25F, 1.0F},
                             high = {2.0F, 0.7F, 1.0F};  // the last empty
    const at::Tensor rgb = kernels->epilogue()->Colour(maps, low, high, colours);
    for (int b = 0; b < batch; ++b) {
      const at::Tensor plain = maps[b].contiguous();
      const auto* values = plain.const_data_ptr<float>();
      const image::FloatMap map{
          .width = width, .height = height, .values = {values, values + plain.numel()}};
      const auto at_b = static_cast<size_t>(b);
      const image::Image expected = image::ColorMap(map, low[at_b], high[at_b]);
      const at::Tensor own = rgb[b].contiguous();
      EXPECT_EQ(
          std::memcmp(own.const_data_ptr<uint8_t>(), expected.rgb.data(), expected.rgb.size()), 0)
          << height << " x " << width << ", map " << b;
    }
  }
}

}  // namespace
}  // namespace hfwa::kernels
