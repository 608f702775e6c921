#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/image/image.h"

namespace hfwa::lab {

// A further look at a picture that some methods need beside the model's forward pass: windows of
// it, its tokens by another attention, the picture turned. Thread-compatible.
class View {
 public:
  virtual ~View() = default;
  // Views of one name are the same, whichever method brings them: each is taken once an image.
  virtual std::string name() const = 0;
  // Test images are not looked at this way.
  virtual bool references_only() const { return false; }

  struct Subject {
    const image::Image& picture;    // as it was read
    const at::Tensor& model_input;  // [1, 3, S, S] fp32 on the CPU, normalised
    const std::string& class_name;
  };
  // fp32 on the CPU, of a shape that is the view's own. LibTorch's exceptions pass through.
  virtual absl::StatusOr<at::Tensor> Look(const Subject& subject) const = 0;
};

}  // namespace hfwa::lab
