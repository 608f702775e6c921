#include "lab/eval/window_maps.h"

#include <vector>

#include <ATen/ATen.h>

namespace hfwa::lab {
namespace {

// Sums over the windows that cover each patch: [n, n] -> [n + side - 1, n + side - 1], n windows a
// row.
at::Tensor CoverSums(const at::Tensor& of_windows, int side) {
  const int64_t border = side - 1;
  const at::Tensor padded = at::constant_pad_nd(of_windows, {border, border, border, border});
  return padded.unfold(0, side, 1).unfold(1, side, 1).sum({2, 3});
}

}  // namespace

int WindowCount(int grid, int side) { return (grid - side + 1) * (grid - side + 1); }

at::Tensor WindowRows(int grid, int side) {
  std::vector<int64_t> rows;
  for (int top = 0; top + side <= grid; ++top) {
    for (int left = 0; left + side <= grid; ++left) {
      rows.push_back(0);
      for (int y = top; y < top + side; ++y) {
        for (int x = left; x < left + side; ++x) rows.push_back(1 + y * grid + x);
      }
    }
  }
  return at::tensor(rows, at::kLong).view({WindowCount(grid, side), 1 + side * side});
}

// In double: what is divided by may be tiny. One over nothing is infinity, and over that, zero.
at::Tensor HarmonicMean(const at::Tensor& values) {
  return (values.size(0) / values.to(at::kDouble).reciprocal().sum(0)).to(at::kFloat);
}

at::Tensor HarmonicCover(const at::Tensor& scores, int grid, int side) {
  const int64_t across = grid - side + 1;
  const at::Tensor inverse = scores.to(at::kDouble).reciprocal().view({across, across});
  return (CoverSums(at::ones_like(inverse), side) / CoverSums(inverse, side)).to(at::kFloat);
}

}  // namespace hfwa::lab
