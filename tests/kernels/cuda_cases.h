#pragma once

// Shapes and values that the CUDA kernels are run on, by their twin and on a device.

#include <cstdint>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

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

inline double LargestDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a.cpu().to(at::kDouble) - b.cpu().to(at::kDouble)).abs().max().item<double>();
}

}  // namespace hfwa::kernels
