#include "core/engine/image_input.h"

#include <ATen/ATen.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/image/preprocess.h"

namespace hfwa::engine {

absl::StatusOr<image::Image> DecodeInput(const ImageInput& input,
                                         const image::DecodeOptions& options) {
  if (input.raw.has_value() != input.encoded.empty()) {
    return Annotate(
        absl::InvalidArgumentError(input.raw.has_value() ? "both content and raw are set"
                                                         : "the image is empty"),
        "IMAGE_INVALID", input.raw.has_value() ? "image" : "image.content");
  }
  if (!input.raw.has_value()) {
    auto picture = image::Decode(input.encoded, options);
    if (picture.ok() || !absl::IsInvalidArgument(picture.status())) return picture;
    return Annotate(picture.status(), "IMAGE_INVALID", "image.content");
  }
  auto picture = image::FromRaw(*input.raw, options);
  if (picture.ok() || !absl::IsInvalidArgument(picture.status())) return picture;
  // FromRaw's message starts with the field.
  const std::string_view message = ToStd(picture.status().message());
  const std::string field(message.substr(0, message.find_first_of(" :")));
  return Annotate(picture.status(), "IMAGE_INVALID", absl::StrCat("image.raw.", field));
}

int64_t PictureBytes(const ImageInput& input, const image::DecodeOptions& options) {
  const image::Limits& limits = options.limits;
  int64_t width = 0, height = 0;
  if (input.raw.has_value()) {
    width = input.raw->width;
    height = input.raw->height;
  } else if (const auto header = image::ReadHeader(input.encoded, limits); header.ok()) {
    width = header->width;
    height = header->height;
  }
  const bool refused = width < 1 || height < 1 || width * height > limits.pixels_max;
  return refused ? 0 : 3 * width * height;
}

at::Tensor ToModelTensor(const image::Image& picture, const model::ModelConfig& config,
                         at::Tensor out) {
  const int side = config.vision.image_size;
  image::ToTensor(image::Resize(picture, side, side, image::Resampling::kBicubic),
                  {.mean = config.mean, .std = config.std},
                  {out.data_ptr<float>(), static_cast<size_t>(out.numel())});
  return out;
}

absl::StatusOr<PreparedImage> PrepareImage(const ImageInput& input,
                                           const image::DecodeOptions& options,
                                           const model::ModelConfig& config, const Clock& clock,
                                           TensorPool& buffers) {
  const absl::Duration start = clock.SteadyNow();
  HFWA_ASSIGN_OR_RETURN(const image::Image picture, DecodeInput(input, options));
  const absl::Duration decoded = clock.SteadyNow();
  PreparedImage prepared{.tensor = ToModelTensor(picture, config, buffers.Take()),
                         .width = picture.width,
                         .height = picture.height,
                         .decode_time = decoded - start,
                         .preprocess_time = {}};
  prepared.preprocess_time = clock.SteadyNow() - decoded;
  return prepared;
}

}  // namespace hfwa::engine
