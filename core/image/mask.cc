#include "core/image/mask.h"

#include "core/image/preprocess.h"

namespace hfwa::image {

Mask PrepareMask(const Image& image, int width, int height) {
  std::vector<uint8_t> binary(image.rgb.size() / 3);
  for (size_t i = 0; i < binary.size(); ++i) {
    const uint8_t* rgb = &image.rgb[3 * i];
    const uint32_t luma = (19595U * rgb[0] + 38470U * rgb[1] + 7471U * rgb[2] + 32768U) >> 16;
    binary[i] = luma > 0 ? 255 : 0;
  }
  return {.width = width,
          .height = height,
          .values =
              ResizeGrey(binary, image.width, image.height, width, height, Resampling::kBilinear)};
}

}  // namespace hfwa::image
