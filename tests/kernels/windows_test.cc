#include "core/kernels/windows.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace hfwa::kernels {
namespace {

at::Tensor Numbered(int batch, int grid, int width) {
  return at::arange(batch * grid * grid * width, at::kFloat).view({batch, grid * grid, width});
}

TEST(WindowsTest, cut_windows_takes_the_tokens_that_the_definition_names) {
  const int batch = 2, grid = 6, window = 3, width = 2, across = grid / window;
  for (const int shift : {0, 1, 2}) {
    const at::Tensor tokens = Numbered(batch, grid, width);
    const at::Tensor windows = CutWindows(tokens, grid, window, shift);
    ASSERT_EQ(windows.sizes(), (at::IntArrayRef{batch * across * across, window * window, width}));
    for (int b = 0; b < batch; ++b) {
      for (int y = 0; y < grid; ++y) {
        for (int x = 0; x < grid; ++x) {
          const int source = ((y + shift) % grid) * grid + (x + shift) % grid;
          const int in_batch = b * across * across + (y / window) * across + x / window;
          const int inside = (y % window) * window + x % window;
          EXPECT_TRUE(at::equal(windows[in_batch][inside], tokens[b][source]))
              << "shift " << shift << " image " << b << " row " << y << " column " << x;
        }
      }
    }
  }
}

TEST(WindowsTest, merge_windows_undoes_cut_windows) {
  for (const int shift : {0, 1, 2, 3}) {
    const at::Tensor tokens = Numbered(3, 8, 5);
    EXPECT_TRUE(at::equal(MergeWindows(CutWindows(tokens, 8, 4, shift), 8, 4, shift), tokens))
        << shift;
  }
}

TEST(WindowsTest, shift_mask_separates_tokens_that_the_shift_brought_together) {
  const int grid = 6, window = 3, shift = 1, across = grid / window;
  const at::Tensor mask = ShiftMask(grid, window, shift);
  ASSERT_EQ(mask.sizes(), (at::IntArrayRef{across * across, window * window, window * window}));
  const auto label = [&](int v) { return v < grid - window ? 0 : v < grid - shift ? 1 : 2; };
  for (int w = 0; w < across * across; ++w) {
    const auto region = [&](int token) {
      return 3 * label(w / across * window + token / window) +
             label(w % across * window + token % window);
    };
    for (int i = 0; i < window * window; ++i) {
      for (int j = 0; j < window * window; ++j) {
        EXPECT_EQ(mask[w][i][j].item<float>(), region(i) == region(j) ? 0.0F : -100.0F)
            << "window " << w << " tokens " << i << ", " << j;
      }
    }
  }
}

}  // namespace
}  // namespace hfwa::kernels
