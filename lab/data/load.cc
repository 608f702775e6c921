#include "lab/data/load.h"

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/file_system.h"
#include "core/base/status_macros.h"
#include "core/image/decode.h"
#include "core/image/preprocess.h"

namespace hfwa::lab {

absl::StatusOr<std::string> LoadBytes(const DataSet& set, const std::string& file) {
  auto bytes = FileSystem::Real().Read(absl::StrCat(set.root, "/", file),
                                       image::DecodeOptions::Paper().limits.bytes_max);
  if (absl::IsOutOfRange(bytes.status())) {
    return absl::InvalidArgumentError(absl::StrCat("is larger than an image may be"));
  }
  return bytes;
}

absl::StatusOr<image::Image> LoadPicture(const DataSet& set, const Item& item) {
  HFWA_ASSIGN_OR_RETURN(const std::string bytes, LoadBytes(set, item.image));
  return image::Decode(bytes, image::DecodeOptions::Paper());
}

absl::StatusOr<std::optional<image::Image>> LoadMask(const DataSet& set, const Item& item,
                                                     const image::Image& picture) {
  if (item.mask.empty()) return std::nullopt;
  HFWA_ASSIGN_OR_RETURN(const std::string bytes, LoadBytes(set, item.mask));
  auto mask = image::Decode(bytes, image::DecodeOptions::Paper());
  if (!mask.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("mask ", item.mask, ": ", std::string(mask.status().message())));
  }
  if (mask->width != picture.width || mask->height != picture.height) {
    return absl::InvalidArgumentError(absl::StrCat("mask ", item.mask, " is ", mask->width, "x",
                                                   mask->height, ", the image ", picture.width, "x",
                                                   picture.height));
  }
  return std::optional<image::Image>(*std::move(mask));
}

image::Mask ResizeMask(const std::optional<image::Image>& mask, int side) {
  if (mask.has_value()) return image::PrepareMask(*mask, side, side);
  const auto pixels = static_cast<size_t>(side) * static_cast<size_t>(side);
  return {.width = side, .height = side, .values = std::vector<uint8_t>(pixels, 0)};
}

at::Tensor ToModelInput(const image::Image& picture, const model::ModelConfig& config) {
  const int side = config.vision.image_size;
  const image::Image resized = image::Resize(picture, side, side, image::Resampling::kBicubic);
  at::Tensor tensor = at::empty({1, 3, side, side}, at::kFloat);
  image::ToTensor(resized, {config.mean, config.std},
                  absl::MakeSpan(tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())));
  return tensor;
}

}  // namespace hfwa::lab
