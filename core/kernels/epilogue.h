#pragma once

// What follows the model's forward pass, for a whole batch at once and without leaving the device.
// Only devices for which that pays have it; elsewhere core/bank and core/model/maps.h go image by
// image.
//
// LibTorch's exceptions pass through. B images, n levels, grid g.

#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/kernels/kernels.h"

namespace hfwa::kernels {

// Tokens [T, E] fp32, or fp16 where a whole batch was converted at once, against rows first to
// first + count - 1, count >= 1.
struct RowMatch {
  at::Tensor tokens;
  const Rows* rows = nullptr;
  int64_t first = 0;
  int64_t count = 0;
};

struct MapSpec {
  int size = 0;
  std::optional<double> sigma;  // of the Gaussian over the language part
};

struct CombinedMaps {
  at::Tensor map;   // [B, size, size] fp32
  at::Tensor keys;  // [B] int32, of the largest value of each; see MaximaOf
};
// The largest values themselves, NaN where one is; waits for the device.
std::vector<float> MaximaOf(const CombinedMaps& maps);

// Immutable, thread-safe.
class Epilogue {
 public:
  virtual ~Epilogue() = default;

  // Rows::Maximum of each, one after the other: [sum of T]. All rows have one width and come from
  // the kernels of this epilogue.
  virtual at::Tensor Maxima(const std::vector<RowMatch>& matches) const = 0;

  // True if Combine takes maps of this kind.
  virtual bool Takes(const MapSpec& spec) const = 0;
  // core/model/maps.h: the language maps summed and filtered, and the visual levels summed and
  // upsampled. language_diff and few are [B, n, g, g] fp32; one of them may be undefined.
  virtual CombinedMaps Combine(const MapSpec& spec, const at::Tensor& language_diff,
                               const at::Tensor& few) const = 0;

  // Maps [B, h, w] fp32 in false colours (image::ColorMap): low[b] to high[b] over the 256 entries
  // of `colours` [256, 3], 8-bit RGB. [B, h, w, 3] 8-bit.
  virtual at::Tensor Colour(const at::Tensor& maps, const std::vector<float>& low,
                            const std::vector<float>& high, const at::Tensor& colours) const = 0;
};

}  // namespace hfwa::kernels
