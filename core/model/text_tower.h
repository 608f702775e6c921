#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/kernels/kernels.h"
#include "core/model/config.h"
#include "core/model/layers.h"

namespace hfwa::model {

// CLIP's text transformer (spec 5.1). Immutable.
class TextTower {
 public:
  // config.text must be set. Without `kernels` it runs in fp32 on the CPU, for its results are
  // computed once; training brings kernels that it can differentiate.
  static absl::StatusOr<std::unique_ptr<TextTower>> Load(
      const ModelConfig& config, const Weights& weights,
      std::shared_ptr<const kernels::Kernels> kernels = nullptr);

  // Embedded prompts [R, C, D] without positions and the row of each one's end of text [R] int64,
  // both on the kernels' device -> text features [R, E] fp32, not normalised.
  at::Tensor Encode(const at::Tensor& prompts, const at::Tensor& end_of_text) const;

 private:
  TextTower() = default;
  at::Tensor EncodeBlock(const at::Tensor& prompts, const at::Tensor& end_of_text) const;

  std::shared_ptr<const kernels::Kernels> kernels_;
  at::Tensor positional_embedding_;  // [C, D]
  std::vector<TransformerBlock> blocks_;
  kernels::Norm ln_final_;
  std::unique_ptr<kernels::Linear> projection_;
};

}  // namespace hfwa::model
