#pragma once

// The adapters' position bias (spec 4.1): a function of the weights alone, computed once.

#include <ATen/core/Tensor.h>

#include "core/kernels/kernels.h"

namespace hfwa::model {

// [2w-1, 2w-1, 2]: logarithmic offsets, vertical first. `window` at least 2.
at::Tensor OffsetCoordinates(int window);

// [N, N] int64, N = window²: the row of the flattened coordinates for each pair of tokens.
at::Tensor OffsetIndex(int window);

// The net over the coordinates: cpb_mlp.0 with bias, ReLU, cpb_mlp.2 without; all fp32.
struct PositionNet {
  kernels::LinearWeights first;
  at::Tensor second;  // [heads, cpb_dim]
};

// [heads, N, N] fp32 on the net's device; differentiable.
at::Tensor PositionBias(int window, const PositionNet& net);

}  // namespace hfwa::model
