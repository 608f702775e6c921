#include "core/kernels/windows.h"

#include <ATen/ATen.h>

namespace hfwa::kernels {

at::Tensor CutWindows(const at::Tensor& tokens, int grid, int window, int shift) {
  const int64_t width = tokens.size(2);
  const int64_t across = grid / window;
  at::Tensor x = tokens.reshape({-1, grid, grid, width});
  if (shift > 0) x = at::roll(x, {-shift, -shift}, {1, 2});
  return x.reshape({-1, across, window, across, window, width})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({-1, static_cast<int64_t>(window) * window, width});
}

at::Tensor WindowOrder(int grid, int window, int shift) {
  const at::Tensor numbers = at::arange(grid * grid, at::kLong).view({1, -1, 1});
  return CutWindows(numbers, grid, window, shift).flatten().contiguous();
}

at::Tensor MergeWindows(const at::Tensor& windows, int grid, int window, int shift) {
  const int64_t width = windows.size(2);
  const int64_t across = grid / window;
  at::Tensor x = windows.reshape({-1, across, across, window, window, width})
                     .permute({0, 1, 3, 2, 4, 5})
                     .reshape({-1, grid, grid, width});
  if (shift > 0) x = at::roll(x, {shift, shift}, {1, 2});
  return x.reshape({-1, static_cast<int64_t>(grid) * grid, width});
}

at::Tensor ShiftMask(int grid, int window, int shift) {
  at::Tensor label = at::zeros({grid}, at::kFloat);
  label.slice(0, grid - window, grid - shift).fill_(1);
  label.slice(0, grid - shift, grid).fill_(2);
  const at::Tensor region = (3 * label.unsqueeze(1) + label.unsqueeze(0)).reshape({1, -1, 1});
  const at::Tensor windows = CutWindows(region, grid, window, 0).squeeze(2);  // [windows, N]
  const at::Tensor differs = windows.unsqueeze(1) != windows.unsqueeze(2);
  return differs.to(at::kFloat).mul_(-100.0F);
}

}  // namespace hfwa::kernels
