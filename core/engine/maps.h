#pragma once

#include <ATen/core/Tensor.h>

#include "core/image/render.h"
#include "core/model/config.h"

namespace hfwa::engine {

// The combined map of one image (spec 7): [size, size] fp32 on the CPU. `language_diff` [n, g, g]
// is undefined without language side, `few` [n, g, g] without bank; one of them is defined.
at::Tensor CombinedMap(const model::ModelConfig& config, const at::Tensor& language_diff,
                       const at::Tensor& few);

// Language and visual part of each level summed, unfiltered: [n, size, size] on the CPU.
at::Tensor LevelMaps(const model::ModelConfig& config, const at::Tensor& language_diff,
                     const at::Tensor& few);

// A [h, w] tensor as plain floats.
image::FloatMap ToFloatMap(const at::Tensor& map);

}  // namespace hfwa::engine
