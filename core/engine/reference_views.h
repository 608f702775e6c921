#pragma once

#include <vector>

#include "core/image/image.h"

namespace hfwa::engine {

// What the same good part might look like in another picture: flipped, shifted and under other
// light, each of side x side pixels. They stand in for further references where a product has only
// one.
std::vector<image::Image> ReferenceViews(const image::Image& picture, int side);

}  // namespace hfwa::engine
