#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/model/config.h"

namespace hfwa::lab {

// A picture as the paper's code prepares it (Pillow's decoding, bicubic, EXIF ignored): [1, 3, S,
// S] fp32.
absl::StatusOr<at::Tensor> ReadModelInput(const std::string& path,
                                          const model::ModelConfig& config);

}  // namespace hfwa::lab
