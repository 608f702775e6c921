#include "lab/model_input.h"

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/engine/image_input.h"
#include "core/image/decode.h"
#include "lab/fixture.h"

namespace hfwa::lab {

absl::StatusOr<image::Image> ReadPicture(const std::string& path) {
  HFWA_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  auto decoded = image::Decode(bytes, image::DecodeOptions::Paper());
  if (decoded.ok()) return decoded;
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": ", std::string(decoded.status().message())));
}

absl::StatusOr<at::Tensor> ReadModelInput(const std::string& path,
                                          const model::ModelConfig& config) {
  HFWA_ASSIGN_OR_RETURN(const image::Image picture, ReadPicture(path));
  return engine::ToModelTensor(picture, config).unsqueeze(0);
}

}  // namespace hfwa::lab
