#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/engine/engine.h"
#include "core/engine/tensor_pool.h"
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

// Bytes that the decoded picture will take, by its header; 0 where DecodeInput will refuse it.
int64_t PictureBytes(const ImageInput& input, const image::DecodeOptions& options);

// Resizes to the model's input and normalises, into `out` [3, S, S] fp32, which is returned.
at::Tensor ToModelTensor(const image::Image& picture, const model::ModelConfig& config,
                         at::Tensor out);

absl::StatusOr<PreparedImage> PrepareImage(const ImageInput& input,
                                           const image::DecodeOptions& options,
                                           const model::ModelConfig& config, const Clock& clock,
                                           TensorPool& buffers);

}  // namespace hfwa::engine
