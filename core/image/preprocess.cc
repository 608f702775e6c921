#include "core/image/preprocess.h"

#include <cstddef>

namespace hfwa::image {

void ToTensor(const Image& image, const Normalization& normalization, absl::Span<float> out) {
  const size_t plane = static_cast<size_t>(image.width) * static_cast<size_t>(image.height);
  for (size_t c = 0; c < 3; ++c) {
    // A channel has but 256 values; the divisions are done once for each.
    std::array<float, 256> table;
    for (size_t v = 0; v < table.size(); ++v) {
      table[v] = (static_cast<float>(v) / 255.0F - normalization.mean[c]) / normalization.std[c];
    }
    const uint8_t* in = image.rgb.data() + c;
    float* to = out.data() + c * plane;
    for (size_t i = 0; i < plane; ++i) to[i] = table[in[3 * i]];
  }
}

}  // namespace hfwa::image
