#pragma once

// Cutting a grid of tokens into windows (HFWA spec 4.1).

#include <ATen/core/Tensor.h>

namespace hfwa::kernels {

// [B, grid², W] -> [B * (grid / window)², window², W], windows and tokens inside row-major, after
// the cyclic shift shifted[y][x] = tokens[(y + shift) mod grid][(x + shift) mod grid].
at::Tensor CutWindows(const at::Tensor& tokens, int grid, int window, int shift);

// Which token stands at each place of the windows of one image: [grid²] int64.
at::Tensor WindowOrder(int grid, int window, int shift);

// The inverse of CutWindows.
at::Tensor MergeWindows(const at::Tensor& windows, int grid, int window, int shift);

// 0 where two tokens of a window lie in one region of the shifted grid, -100 where not: [windows,
// N, N], fp32, N = window².
at::Tensor ShiftMask(int grid, int window, int shift);

}  // namespace hfwa::kernels
