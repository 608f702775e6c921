#pragma once

// A picture as it looks when the part lies in another orientation.

#include "core/image/image.h"

namespace hfwa::image {

// Orientations that Turn knows, 45 degrees apart.
inline constexpr int kOrientations = 8;

// What is seen when everything under the camera is turned clockwise by `orientation` times 45
// degrees about the picture's centre: a picture of the same size. What comes into sight from beyond
// the border is the picture's reflection (edge pixels repeated). Bilinear, each value rounded to
// the nearest; where every pixel moves onto another, as by 180 degrees, or by 90 of a picture whose
// sides differ by an even number, exact. Orientation 0 is the picture itself; 0 to 7.
Image Turn(const Image& image, int orientation);

}  // namespace hfwa::image
