#pragma once

// Shapes and values that the CUDA kernels are run on, by their twin and on a device.

#include <cmath>
#include <cstdint>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "core/kernels/kernels.h"
#include "core/kernels/windows.h"

namespace hfwa::kernels {

inline at::Tensor RandomValues(at::IntArrayRef shape, int seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}

// [count, width], each of length one.
inline at::Tensor UnitRows(int64_t count, int64_t width, int seed) {
  const at::Tensor rows = RandomValues({count, width}, seed);
  return rows / rows.norm(2, {1}, /*keepdim=*/true);
}

struct MatchCase {
  int64_t tokens, width, rows, first, count;
};
// Tiles of 128 tokens and rows, steps of 32 values, chunks of 8 tiles: whole and broken.
inline std::vector<MatchCase> MatchCases() {
  return {{1, 8, 1, 0, 1},        {128, 32, 128, 0, 128},   {129, 40, 131, 1, 129},
          {5, 72, 1200, 3, 1190}, {127, 96, 1025, 0, 1025}, {260, 64, 2050, 1000, 1049},
          {33, 384, 300, 299, 1}, {576, 768, 40, 7, 33}};
}

struct MapCase {
  int64_t batch, levels, grid;
  int size;
  double sigma;  // 0: no filter
};
// Tiles of 32 pixels, bands of 4 rows; radii inside and beyond the map.
inline std::vector<MapCase> MapCases() {
  return {{2, 4, 24, 336, 4.0}, {1, 4, 4, 56, 1.0}, {3, 2, 7, 33, 0.0},
          {1, 1, 1, 5, 4.0},    {1, 3, 5, 1, 0.5},  {2, 4, 37, 70, 31.9}};
}

struct WindowCase {
  int grid, window, shift, heads, head_width;
  bool value_only;
};
// Windows of 16 tokens whole and broken, up to the kernel's largest; beyond it and with heads that
// it does not take.
inline std::vector<WindowCase> WindowCases() {
  return {{4, 2, 0, 2, 16, true},   {4, 2, 1, 2, 16, false},   {6, 3, 1, 1, 32, true},
          {10, 5, 0, 2, 48, false}, {12, 12, 0, 1, 128, true}, {24, 12, 6, 1, 128, false},
          {13, 13, 0, 1, 16, true}, {4, 2, 0, 2, 8, true},     {4, 2, 1, 1, 144, true}};
}
// Scales and masks as models have them.
inline WindowAttention RandomWindows(const WindowCase& c, const Kernels& kernels) {
  const int64_t width = static_cast<int64_t>(c.heads) * c.head_width;
  const int64_t inside = static_cast<int64_t>(c.window) * c.window;
  WindowAttention a;
  a.grid = c.grid;
  a.window = c.window;
  a.shift = c.shift;
  a.order = WindowOrder(c.grid, c.window, c.shift).to(kernels.device());
  a.heads = c.heads;
  a.value_only = c.value_only;
  a.in_proj = kernels.PackLinear(
      {RandomValues({c.value_only ? width : 3 * width, width}, 1) / std::sqrt(width), {}});
  a.out_proj = kernels.PackLinear({at::eye(width), {}});
  a.scale = RandomValues({c.heads, 1, 1}, 2).abs().mul(5).add(1).to(kernels.device());
  a.bias = RandomValues({1, c.heads, inside, inside}, 3);
  if (c.shift > 0) a.bias = a.bias + ShiftMask(c.grid, c.window, c.shift).unsqueeze(1);
  a.bias = a.bias.to(kernels.device());
  return a;
}

inline double LargestDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a.cpu().to(at::kDouble) - b.cpu().to(at::kDouble)).abs().max().item<double>();
}

}  // namespace hfwa::kernels
