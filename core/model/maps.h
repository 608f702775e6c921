#pragma once

// Grid values to anomaly maps (spec 6.5 and 7). All tensors fp32. On the CPU each image's
// bits are the same whatever shares its batch. LibTorch's exceptions pass through: call within
// CatchTorchErrors (core/model/torch_errors.h).

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/kernels/kernels.h"
#include "core/model/config.h"

namespace hfwa::model {

// Corner-aligned bilinear upsampling of [..., g, g] to [..., size, size].
at::Tensor UpsampleMaps(const at::Tensor& grid, int size);

// Tokens to match against, as the kernels keep them: one set of rows a level.
struct PackedBank {
  // Room for tokens, and room filled with a whole bank [n, R, E], fp32 on the kernels' device.
  static PackedBank Make(const kernels::Kernels& kernels, int64_t levels, int64_t rows,
                         int64_t width);
  static PackedBank Pack(const kernels::Kernels& kernels, const at::Tensor& bank);

  std::vector<std::unique_ptr<kernels::Rows>> levels;
  int64_t rows = 0;  // of each level
};

// Level maps: sigmoid of the upsampled difference. [B, n, g, g] -> [B, n, size, size].
at::Tensor LanguageMaps(const at::Tensor& language_diff, int size);

// Separable Gaussian, radius floor(4 sigma + 0.5), edge-repeating reflection, columns first,
// products summed in double and rounded to fp32 after each pass. [..., h, w] -> the same.
at::Tensor GaussianFilter(const at::Tensor& maps, double sigma);

// map_filtered (or map_sum without a filter) of one batch: sum over levels, then the Gaussian. [B,
// size, size].
at::Tensor ZeroShotMap(const ModelConfig& config, const at::Tensor& language_diff);

// 1 - largest cosine of each token to any bank row, by one matrix product and a row maximum a
// level. `tokens` [B, n, L, E] and the bank's are L2-normalised; rows first to first + count - 1 of
// each level take part, all of them where nothing is said; result [B, n, g, g].
at::Tensor MatchTokens(const at::Tensor& tokens, const PackedBank& bank, int64_t first,
                       int64_t count);
at::Tensor MatchTokens(const at::Tensor& tokens, const PackedBank& bank);

// few_sum: levels summed on the grid, upsampled once. [B, n, g, g] -> [B, size, size].
at::Tensor FewShotMap(const ModelConfig& config, const at::Tensor& few);

}  // namespace hfwa::model
