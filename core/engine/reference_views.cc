#include "core/engine/reference_views.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/image/preprocess.h"

namespace hfwa::engine {
namespace {

// view(x, y) = picture(map(x, y)).
template <typename Map>
image::Image Remap(const image::Image& picture, Map map) {
  image::Image view{picture.width, picture.height, std::vector<uint8_t>(picture.rgb.size())};
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const auto [sx, sy] = map(x, y);
      const auto from =
          (static_cast<size_t>(sy) * static_cast<size_t>(picture.width) + static_cast<size_t>(sx)) *
          3;
      const auto to =
          (static_cast<size_t>(y) * static_cast<size_t>(picture.width) + static_cast<size_t>(x)) *
          3;
      std::copy_n(&picture.rgb[from], 3, &view.rgb[to]);
    }
  }
  return view;
}

image::Image Relight(const image::Image& picture, float gain) {
  image::Image view = picture;
  for (uint8_t& v : view.rgb) {
    v = static_cast<uint8_t>(std::lround(std::min(255.0F, static_cast<float>(v) * gain)));
  }
  return view;
}

}  // namespace

std::vector<image::Image> ReferenceViews(const image::Image& picture, int side) {
  const image::Image base = image::Resize(picture, side, side, image::Resampling::kBicubic);
  const int last = side - 1;
  const int shift =
      std::max(1, side / 40);  // a part lies a little elsewhere: less than a patch or so
  const auto shifted = [&](int dx, int dy) {
    return Remap(base, [=](int x, int y) {
      return std::pair{std::clamp(x + dx, 0, last), std::clamp(y + dy, 0, last)};
    });
  };
  return {
      Remap(base,
            [=](int x, int y) {
              return std::pair{last - x, y};
            }),
      Remap(base,
            [=](int x, int y) {
              return std::pair{x, last - y};
            }),
      shifted(shift, shift),
      shifted(-shift, shift),
      Relight(base, 0.9F),
      Relight(base, 1.1F),
  };
}

}  // namespace hfwa::engine
