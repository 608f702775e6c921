#include "lab/model_input.h"

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/image/decode.h"
#include "lab/data/load.h"
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
  return ToModelInput(*decoded, config);
}

}  // namespace hfwa::lab
