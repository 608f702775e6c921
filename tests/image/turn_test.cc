#include "core/image/turn.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>

namespace hfwa::image {
namespace {

Image Noise(int width, int height, uint32_t seed) {
  std::mt19937 random(seed);
  Image image{width, height, {}};
  image.rgb.resize(static_cast<size_t>(3) * static_cast<size_t>(width * height));
  for (uint8_t& value : image.rgb) value = static_cast<uint8_t>(random());
  return image;
}

uint8_t At(const Image& image, int x, int y, int c) {
  return image.rgb[static_cast<size_t>((y * image.width + x) * 3 + c)];
}

// One pixel at a time, by angles; places beyond the border walk back until they are inside.
double Naive(const Image& image, int x, int y, int c, int orientation) {
  const double angle = orientation * std::acos(-1.0) / 4;
  const double cx = (image.width - 1) / 2.0, cy = (image.height - 1) / 2.0;
  const double fx = cx + std::cos(angle) * (x - cx) + std::sin(angle) * (y - cy);
  const double fy = cy - std::sin(angle) * (x - cx) + std::cos(angle) * (y - cy);
  const auto inside = [](int place, int count) {
    while (place < 0 || place >= count) place = place < 0 ? -1 - place : 2 * count - 1 - place;
    return place;
  };
  double sum = 0;
  for (int j = 0; j < 2; ++j) {
    for (int i = 0; i < 2; ++i) {
      const int px = static_cast<int>(std::floor(fx)) + i;
      const int py = static_cast<int>(std::floor(fy)) + j;
      const double weight = (1 - std::abs(fx - px)) * (1 - std::abs(fy - py));
      sum += weight * At(image, inside(px, image.width), inside(py, image.height), c);
    }
  }
  return sum;
}

TEST(Turn, quarters_move_pixels_and_change_none) {
  const Image image = Noise(17, 17, 1);
  const Image quarter = Turn(image, 2), half = Turn(image, 4), three = Turn(image, 6);
  for (int y = 0; y < 17; ++y) {
    for (int x = 0; x < 17; ++x) {
      for (int c = 0; c < 3; ++c) {
        const uint8_t value = At(image, x, y, c);
        // Clockwise: the top row becomes the right column.
        ASSERT_EQ(At(quarter, 16 - y, x, c), value) << x << " " << y;
        ASSERT_EQ(At(half, 16 - x, 16 - y, c), value) << x << " " << y;
        ASSERT_EQ(At(three, y, 16 - x, c), value) << x << " " << y;
      }
    }
  }
  EXPECT_EQ(Turn(image, 0).rgb, image.rgb);
  EXPECT_EQ(Turn(Turn(Turn(Turn(image, 2), 2), 2), 2).rgb, image.rgb);
}

TEST(Turn, a_picture_that_is_not_square_keeps_its_size_and_its_parts_proportions) {
  const Image image = Noise(20, 12, 2);
  const Image quarter = Turn(image, 2);
  ASSERT_EQ(quarter.width, 20);
  ASSERT_EQ(quarter.height, 12);
  for (int y = 0; y < 12; ++y) {
    for (int x = 0; x < 20; ++x) {
      // About the centre, (9.5, 5.5): what lies 4 left of it comes from 4 below.
      const int from_x = y + 4, from_y = 15 - x;
      const int seen_y = from_y < 0 ? -1 - from_y : from_y > 11 ? 23 - from_y : from_y;
      ASSERT_EQ(At(quarter, x, y, 1), At(image, from_x, seen_y, 1)) << x << " " << y;
    }
  }
  EXPECT_EQ(Turn(Turn(image, 4), 4).rgb, image.rgb);
}

TEST(Turn, every_orientation_is_what_the_angle_says) {
  for (const auto& [width, height] : {std::pair{24, 24}, {31, 18}, {9, 40}, {1, 1}, {1, 7}}) {
    const Image image = Noise(width, height, 3);
    for (int orientation = 0; orientation < kOrientations; ++orientation) {
      const Image turned = Turn(image, orientation);
      for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
          for (int c = 0; c < 3; ++c) {
            // Rounded once; the angles' last digits differ.
            ASSERT_NEAR(At(turned, x, y, c), Naive(image, x, y, c, orientation), 0.5 + 1e-6)
                << width << "x" << height << " orientation " << orientation << " at " << x << " "
                << y;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace hfwa::image
