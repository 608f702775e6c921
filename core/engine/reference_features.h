#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/engine/encoder.h"
#include "core/engine/tensor_pool.h"
#include "core/image/decode.h"
#include "core/store/feature_cache.h"
#include "core/store/store.h"

namespace hfwa::engine {

// What the model says of reference pictures: kept in the feature cache, made anew from the stored
// picture where it is not there. A reference has one picture an orientation that its product's
// method looks at (store::PicturesPerReference); orientation 0 is the picture as it came. The
// picture is turned before it is made the model's square, so that a part keeps its proportions
// whatever the picture's. Thread-safe; calls block while the device encodes.
class ReferenceFeatures {
 public:
  // All outlive it.
  ReferenceFeatures(store::Store* store, store::FeatureCache* cache, Encoder* encoder,
                    TensorPool* buffers, const image::DecodeOptions& decode)
      : store_(store), cache_(cache), encoder_(encoder), buffers_(buffers), decode_(decode) {}

  struct Features {
    at::Tensor tokens;         // [n, L, E] fp32 on the CPU, L2-normalised
    at::Tensor language_diff;  // [n, g, g]; undefined without language side
    double text_probability = 0;
  };

  // Encodes the picture in all orientations of the method, one after the other, and keeps what
  // comes of them.
  absl::Status Encode(const std::string& image_sha256, const image::Image& picture,
                      store::Method method, int class_index);
  // `orientation`: see image::Turn.
  absl::StatusOr<Features> Load(const std::string& image_sha256, int orientation, int class_index);
  // Drops what is kept of an image in all orientations.
  void Remove(const std::string& image_sha256);

 private:
  absl::Status EncodeOne(const std::string& image_sha256, const image::Image& picture,
                         int orientation, int class_index);
  absl::StatusOr<image::Image> StoredPicture(const std::string& image_sha256);
  Features Unpack(const std::vector<float>& values) const;
  std::string Header(int class_index) const;
  size_t Count() const;

  store::Store* const store_;
  store::FeatureCache* const cache_;
  Encoder* const encoder_;
  TensorPool* const buffers_;
  const image::DecodeOptions decode_;
};

}  // namespace hfwa::engine
