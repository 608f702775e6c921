#include "core/engine/reference_features.h"

#include <ATen/ATen.h>

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/engine/image_input.h"
#include "core/image/turn.h"

namespace hfwa::engine {
namespace {

static_assert(store::PicturesPerReference(store::Method::kAnomalyDino) == image::kOrientations);

// Under which the cache keeps a picture in an orientation.
std::string KeyOf(const std::string& image_sha256, int orientation) {
  if (orientation == 0) return image_sha256;
  return Sha256Hex(absl::StrCat(image_sha256, " turned ", orientation));
}

}  // namespace

std::string ReferenceFeatures::Header(int class_index) const {
  const model::ModelConfig& config = encoder_->model().config();
  // Tokens do not depend on the class; the language side does.
  return absl::StrCat("levels=", config.levels(), " patches=", config.vision.patches(),
                      " embed=", config.embed_dim,
                      " class=", config.has_language() ? class_index : -1);
}

size_t ReferenceFeatures::Count() const {
  const model::ModelConfig& config = encoder_->model().config();
  const size_t values =
      static_cast<size_t>(config.levels()) * static_cast<size_t>(config.vision.patches());
  return values * static_cast<size_t>(config.embed_dim) + (config.has_language() ? values + 1 : 0);
}

absl::Status ReferenceFeatures::Encode(const std::string& image_sha256, const image::Image& picture,
                                       store::Method method, int class_index) {
  for (int i = 0; i < store::PicturesPerReference(method); ++i) {
    HFWA_RETURN_IF_ERROR(EncodeOne(image_sha256, picture, i, class_index));
  }
  return absl::OkStatus();
}

absl::Status ReferenceFeatures::EncodeOne(const std::string& image_sha256,
                                          const image::Image& picture, int orientation,
                                          int class_index) {
  const model::ModelConfig& config = encoder_->model().config();
  Encoder::Request request;
  request.image = orientation == 0
                      ? ToModelTensor(picture, config, buffers_->Take())
                      : ToModelTensor(image::Turn(picture, orientation), config, buffers_->Take());
  request.class_index = class_index;
  request.lane = batching::Lane::kRegister;
  HFWA_ASSIGN_OR_RETURN(const Encoded encoded, encoder_->EncodeNow(std::move(request)));
  std::vector<float> values;
  values.reserve(Count());
  const auto append = [&values](const at::Tensor& tensor) {
    const at::Tensor plain = tensor.cpu().contiguous();
    const float* data = plain.data_ptr<float>();
    values.insert(values.end(), data, data + plain.numel());
  };
  append(encoded.tokens);
  if (encoded.language_diff.defined()) {
    append(encoded.language_diff);
    values.push_back(static_cast<float>(encoded.text_probability));
  }
  return cache_->Put(KeyOf(image_sha256, orientation), Header(class_index), values);
}

absl::StatusOr<image::Image> ReferenceFeatures::StoredPicture(const std::string& image_sha256) {
  HFWA_ASSIGN_OR_RETURN(const std::string bytes, store_->ReadObject(image_sha256));
  return image::Decode(bytes, decode_);
}

ReferenceFeatures::Features ReferenceFeatures::Unpack(const std::vector<float>& values) const {
  const model::ModelConfig& config = encoder_->model().config();
  const int64_t levels = config.levels();
  const int64_t grid = config.vision.grid();
  const at::Tensor all = at::tensor(at::ArrayRef<float>(values));
  Features features;
  const int64_t tokens = levels * grid * grid * config.embed_dim;
  features.tokens = all.narrow(0, 0, tokens).view({levels, grid * grid, config.embed_dim});
  if (config.has_language()) {
    features.language_diff = all.narrow(0, tokens, levels * grid * grid).view({levels, grid, grid});
    features.text_probability = values.back();
  }
  return features;
}

absl::StatusOr<ReferenceFeatures::Features> ReferenceFeatures::Load(const std::string& image_sha256,
                                                                    int orientation,
                                                                    int class_index) {
  const std::string key = KeyOf(image_sha256, orientation);
  const std::string header = Header(class_index);
  auto values = cache_->Get(key, header, Count());
  if (!values.ok()) {
    // Absent, damaged or of another model: the image is the truth.
    HFWA_ASSIGN_OR_RETURN(const image::Image picture, StoredPicture(image_sha256));
    HFWA_RETURN_IF_ERROR(EncodeOne(image_sha256, picture, orientation, class_index));
    values = cache_->Get(key, header, Count());
    if (!values.ok()) return values.status();
  }
  return Unpack(*values);
}

void ReferenceFeatures::Remove(const std::string& image_sha256) {
  for (int i = 0; i < image::kOrientations; ++i) cache_->Remove(KeyOf(image_sha256, i));
}

}  // namespace hfwa::engine
