#pragma once

// Random starting values, a function of what they are drawn with.

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "lab/train/random.h"

namespace hfwa::lab::train {

// fp32 on the CPU: uniform in +-bound, or normal around 0.
at::Tensor DrawUniform(const std::vector<int64_t>& shape, double bound, Random& random);
at::Tensor DrawNormal(const std::vector<int64_t>& shape, double deviation, Random& random);

}  // namespace hfwa::lab::train
