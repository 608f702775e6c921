#pragma once

#include <memory>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/kernels/kernels.h"
#include "core/model/config.h"
#include "core/model/trace.h"
#include "core/model/weights.h"

namespace hfwa::model {

// Adapts the patch tokens of one level (spec 4). Immutable.
class Adapter {
 public:
  virtual ~Adapter() = default;
  // Tokens without the class token, [B, L, W] -> [B, L, W].
  virtual kernels::Tokens Apply(const kernels::Tokens& tokens, const Trace& trace) const = 0;
};

// The adapter of `level`, as configured: FWA, linear or none, which leaves tokens as they are.
// `out_proj` is the frozen attention's output projection of block taps[level]; `kernels` must
// outlive the adapter.
absl::StatusOr<std::unique_ptr<Adapter>> LoadAdapter(
    const ModelConfig& config, const Weights& weights, int level,
    const std::shared_ptr<const kernels::Linear>& out_proj, const kernels::Kernels& kernels,
    const Trace& trace);

}  // namespace hfwa::model
