#pragma once

#include <functional>
#include <string_view>

#include <ATen/core/Tensor.h>

namespace hfwa::model {

// Called with intermediate values by the names of the parity fixtures ("tap.0", "fwa0.norm1", ...),
// in the thread that computes. The tensor may be overwritten after the call returns. On the CPU,
// Forward works image by image, so each value comes once an image with a batch dimension of one.
using Trace = std::function<void(std::string_view name, const at::Tensor& value)>;

inline void Emit(const Trace& trace, std::string_view name, const at::Tensor& value) {
  if (trace) trace(name, value);
}

}  // namespace hfwa::model
