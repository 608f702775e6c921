#pragma once

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/engine/engine.h"
#include "core/image/image.h"
#include "core/model/config.h"

namespace hfwa::engine {

// A picture on its way to the model.
struct PreparedImage {
  at::Tensor tensor;  // [3, S, S] fp32, normalised
  int width = 0;      // of the upright picture
  int height = 0;
  absl::Duration decode_time;
  absl::Duration preprocess_time;
};

// Decodes the picture. INVALID_ARGUMENT with kFieldPayload: "image" where both or neither source is
// set, "image.content" or "image.raw.FIELD".
absl::StatusOr<image::Image> DecodeInput(const ImageInput& input,
                                         const image::DecodeOptions& options);

// Resizes to the model's input and normalises: [3, S, S].
at::Tensor ToModelTensor(const image::Image& picture, const model::ModelConfig& config);

absl::StatusOr<PreparedImage> PrepareImage(const ImageInput& input,
                                           const image::DecodeOptions& options,
                                           const model::ModelConfig& config, const Clock& clock);

}  // namespace hfwa::engine
