#pragma once

// Square windows of patches, stride one, and what their scores say of a patch (WinCLIP, arXiv
// 2303.14814, section 4.2). Windows go row-major by their first patch. fp32 on the CPU.

#include <ATen/core/Tensor.h>

namespace hfwa::lab {

// Of a grid [grid, grid], windows of side `side` <= grid: (grid - side + 1)².
int WindowCount(int grid, int side);

// Rows of the vision tower's tokens that each window shows: the class token's (0), then its
// patches' (1 + y * grid + x), row-major. [windows, 1 + side²] int64.
at::Tensor WindowRows(int grid, int side);

// Harmonic mean over the first dimension of values >= 0; zero where one of them is.
at::Tensor HarmonicMean(const at::Tensor& values);

// Each patch's harmonic mean of the scores >= 0 of the windows that cover it: [windows] -> [grid,
// grid].
at::Tensor HarmonicCover(const at::Tensor& scores, int grid, int side);

}  // namespace hfwa::lab
