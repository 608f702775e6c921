#include "lab/model_input.h"

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/image/decode.h"
#include "core/image/preprocess.h"
#include "lab/fixture.h"

namespace hfwa::lab {

absl::StatusOr<at::Tensor> ReadModelInput(const std::string& path,
                                          const model::ModelConfig& config) {
  HFWA_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  const auto decoded = image::Decode(bytes, image::DecodeOptions::Paper());
  if (!decoded.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", std::string(decoded.status().message())));
  }
  const int side = config.vision.image_size;
  const image::Image resized = image::Resize(*decoded, side, side, image::Resampling::kBicubic);
  at::Tensor tensor = at::empty({1, 3, side, side}, at::kFloat);
  image::ToTensor(resized, {config.mean, config.std},
                  absl::MakeSpan(tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())));
  return tensor;
}

}  // namespace hfwa::lab
