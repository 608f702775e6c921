#include "core/image/render.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "core/image/mask.h"
#include "core/image/preprocess.h"
#include "tests/image/testing.h"

namespace hfwa::image {
namespace {

using ::testing::ElementsAre;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Image Checkered(int width, int height) {
  Image image{.width = width, .height = height, .rgb = {}};
  for (int i = 0; i < width * height * 3; ++i)
    image.rgb.push_back(static_cast<uint8_t>(i * 37 + i / 50));
  return image;
}

// A map of zeros with rectangles of a value.
struct Spot {
  int x, y, width, height;
  float value;
};
FloatMap MapOf(int width, int height, std::initializer_list<Spot> spots) {
  FloatMap map{.width = width, .height = height, .values = {}};
  map.values.resize(static_cast<size_t>(width) * static_cast<size_t>(height));
  for (const Spot& s : spots) {
    for (int y = s.y; y < s.y + s.height; ++y) {
      for (int x = s.x; x < s.x + s.width; ++x)
        map.values[static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)] =
            s.value;
    }
  }
  return map;
}

TEST(Resize, unchanged_size_is_a_copy) {
  const Image image = Checkered(7, 5);
  EXPECT_EQ(Resize(image, 7, 5, Resampling::kBicubic).rgb, image.rgb);
}

TEST(Resize, any_size_to_any_size_keeps_a_flat_picture_flat) {
  for (int from : {1, 2, 15, 16, 17, 33}) {
    for (int to : {1, 3, 16, 40}) {
      const Image flat{.width = from,
                       .height = to,
                       .rgb = std::vector<uint8_t>(static_cast<size_t>(from * to * 3), 93)};
      for (Resampling resampling : {Resampling::kBilinear, Resampling::kBicubic}) {
        const Image out = Resize(flat, to, from, resampling);
        EXPECT_EQ(out.rgb, std::vector<uint8_t>(out.rgb.size(), 93)) << from << " to " << to;
      }
    }
  }
}

TEST(Resize, grey_is_one_channel_of_colour) {
  const Image image = Checkered(41, 23);
  const Image resized = Resize(image, 19, 31, Resampling::kBicubic);
  std::vector<uint8_t> green;
  for (size_t i = 1; i < image.rgb.size(); i += 3) green.push_back(image.rgb[i]);
  const std::vector<uint8_t> out = ResizeGrey(green, 41, 23, 19, 31, Resampling::kBicubic);
  for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], resized.rgb[3 * i + 1]) << i;
}

TEST(ResizeMap, corners_stay_and_between_is_linear) {
  const FloatMap map{.width = 2, .height = 2, .values = {0, 1, 2, 3}};
  EXPECT_THAT(ResizeMap(map, 3, 3).values, ElementsAre(0, 0.5F, 1, 1, 1.5F, 2, 2, 2.5F, 3));
  EXPECT_THAT(ResizeMap(map, 1, 1).values, ElementsAre(0));
  EXPECT_THAT(ResizeMap({.width = 1, .height = 1, .values = {4}}, 2, 2).values,
              ElementsAre(4, 4, 4, 4));
}

TEST(ColorMap, clamps_and_takes_nan_for_low) {
  const FloatMap map{.width = 5, .height = 1, .values = {-9, 0, 1, 9, kNan}};
  const Image image = ColorMap(map, 0, 1);
  const auto pixel = [&](size_t i) {
    return std::vector(image.rgb.begin() + 3 * i, image.rgb.begin() + 3 * i + 3);
  };
  // The ends of Turbo: dark blue and dark red.
  EXPECT_THAT(pixel(1), ElementsAre(48, 18, 59));
  EXPECT_THAT(pixel(2), ElementsAre(122, 4, 3));
  EXPECT_EQ(pixel(0), pixel(1));
  EXPECT_EQ(pixel(3), pixel(2));
  EXPECT_EQ(pixel(4), pixel(1));
  EXPECT_EQ(ColorMap(map, 1, 1).rgb.size(), 15U);  // an empty range is no error
}

TEST(Overlay, leaves_low_places_and_colours_high_ones) {
  const Image image = Checkered(20, 10);
  const FloatMap low = MapOf(4, 4, {});
  EXPECT_EQ(Overlay(image, low, 0, 1).rgb, image.rgb);
  const FloatMap high = MapOf(4, 4, {{0, 0, 4, 4, 1}});
  EXPECT_EQ(Overlay(image, high, 0, 1, 0).rgb, image.rgb);
  const Image full = Overlay(image, high, 0, 1, 1);
  EXPECT_THAT(std::vector(full.rgb.begin(), full.rgb.begin() + 3), ElementsAre(122, 4, 3));
}

TEST(Encode, png_comes_back_the_same) {
  const Image image = Checkered(31, 17);
  const absl::StatusOr<std::string> png = EncodePng(image);
  ASSERT_TRUE(png.ok()) << png.status();
  EXPECT_EQ(MustDecode(*png).rgb, image.rgb);
  const std::vector<uint8_t> grey = {1, 2, 3, 254, 255, 0};
  const absl::StatusOr<std::string> grey_png = EncodePngGrey8(grey, 3, 2);
  ASSERT_TRUE(grey_png.ok());
  const Image back = MustDecode(*grey_png);
  for (size_t i = 0; i < grey.size(); ++i) EXPECT_EQ(back.rgb[3 * i], grey[i]);
}

TEST(Encode, map_becomes_16_bit_grey) {
  const FloatMap map{.width = 5, .height = 1, .values = {-1, 0, 0.5F, 2, kNan}};
  const absl::StatusOr<std::string> png = EncodePngGrey16(map, 0, 1);
  ASSERT_TRUE(png.ok());
  const Image image = MustDecode(*png, DecodeOptions());
  EXPECT_THAT(image.rgb, ElementsAre(0, 0, 0, 0, 0, 0, 128, 128, 128, 255, 255, 255, 0, 0, 0));
}

TEST(Encode, jpeg_comes_back_nearly_the_same) {
  const Image image = Resize(Checkered(9, 9), 64, 48, Resampling::kBicubic);
  const absl::StatusOr<std::string> jpeg = EncodeJpeg(image, 95);
  ASSERT_TRUE(jpeg.ok()) << jpeg.status();
  const Image back = MustDecode(*jpeg);
  ASSERT_EQ(back.rgb.size(), image.rgb.size());
  double sum = 0;
  for (size_t i = 0; i < image.rgb.size(); ++i) sum += std::abs(back.rgb[i] - image.rgb[i]);
  EXPECT_LT(sum / static_cast<double>(image.rgb.size()), 6);
}

TEST(Encode, sizes_that_do_not_fit_are_internal_errors) {
  const Image wrong{.width = 4, .height = 4, .rgb = std::vector<uint8_t>(5)};
  EXPECT_EQ(EncodePng(wrong).status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(EncodeJpeg(wrong, 90).status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(EncodePng(Image{}).status().code(), absl::StatusCode::kInternal);
}

TEST(Thumbnail, keeps_the_ratio_and_never_enlarges) {
  const Image wide = Thumbnail(Checkered(100, 50), 20);
  EXPECT_EQ(wide.width, 20);
  EXPECT_EQ(wide.height, 10);
  const Image thin = Thumbnail(Checkered(3, 200), 10);
  EXPECT_EQ(thin.width, 1);
  EXPECT_EQ(thin.height, 10);
  EXPECT_EQ(Thumbnail(Checkered(5, 4), 20).width, 5);
}

TEST(FindRegions, tells_box_area_peak_and_outline) {
  FloatMap map = MapOf(30, 20, {{4, 3, 6, 5, 0.6F}, {20, 10, 2, 2, 0.9F}, {29, 19, 1, 1, 0.7F}});
  map.values[5 * 30 + 7] = 0.8F;
  const std::vector<Region> regions = FindRegions(map, 0.5F);
  ASSERT_EQ(regions.size(), 3U);
  EXPECT_FLOAT_EQ(regions[0].peak, 0.9F);
  const Region& large = regions[1];
  EXPECT_FLOAT_EQ(large.peak, 0.8F);
  EXPECT_EQ(large.peak_point.x, 7);
  EXPECT_EQ(large.peak_point.y, 5);
  EXPECT_EQ(large.area, 30);
  EXPECT_EQ(std::vector({large.x, large.y, large.width, large.height}), std::vector({4, 3, 6, 5}));
  std::vector<std::pair<int, int>> corners;
  for (const Point& p : large.polygon) corners.emplace_back(p.x, p.y);
  // Clockwise as seen.
  EXPECT_THAT(corners,
              ElementsAre(std::pair(4, 3), std::pair(9, 3), std::pair(9, 7), std::pair(4, 7)));
  EXPECT_EQ(regions[2].area, 1);
  EXPECT_EQ(regions[2].polygon.size(), 1U);
}

TEST(FindRegions, joins_at_corners_and_keeps_to_the_threshold) {
  const FloatMap map = MapOf(8, 8, {{1, 1, 2, 2, 1}, {3, 3, 2, 2, 1}, {6, 6, 1, 1, 0.5F}});
  EXPECT_EQ(FindRegions(map, 0.75F).size(), 1U);
  EXPECT_EQ(FindRegions(map, 0.5F).size(), 2U);  // a value equal to the threshold counts
  EXPECT_EQ(FindRegions(map, 0.5F, 2).size(), 1U);
  EXPECT_EQ(FindRegions(map, 0.5F, 1, 1).size(), 1U);
  EXPECT_TRUE(FindRegions(map, 2).empty());
  EXPECT_TRUE(FindRegions(FloatMap{}, 0).empty());
  EXPECT_TRUE(FindRegions({.width = 1, .height = 1, .values = {kNan}}, 0).empty());
}

TEST(FindRegions, outlines_have_at_most_the_points_asked_for) {
  // A star with a jagged rim.
  FloatMap map = MapOf(200, 200, {});
  for (int y = 0; y < 200; ++y) {
    for (int x = 0; x < 200; ++x) {
      const double angle = std::atan2(y - 100, x - 100);
      const double radius = 60 + 30 * std::sin(17 * angle) + (x * 7 + y * 13) % 5;
      map.values[static_cast<size_t>(y) * 200 + static_cast<size_t>(x)] =
          std::hypot(y - 100, x - 100) < radius ? 1.0F : 0.0F;
    }
  }
  size_t last = 1000;
  for (int points_max : {128, 32, 8, 3}) {
    const std::vector<Region> regions = FindRegions(map, 0.5F, 100, 1, points_max);
    ASSERT_EQ(regions.size(), 1U);
    const std::vector<Point>& polygon = regions[0].polygon;
    EXPECT_LE(polygon.size(), static_cast<size_t>(points_max));
    EXPECT_LE(polygon.size(), last);
    EXPECT_GE(polygon.size(), 2U);
    last = polygon.size();
    int64_t turn = 0;
    for (size_t i = 0; i < polygon.size(); ++i) {
      const Point& a = polygon[i];
      const Point& b = polygon[(i + 1) % polygon.size()];
      turn += int64_t{a.x} * b.y - int64_t{b.x} * a.y;
    }
    EXPECT_GE(turn, 0) << points_max;
  }
}

TEST(LabelRegionsTest, counts_corners_as_touching_with_eight_neighbours_alone) {
  const std::vector<uint8_t> mask = {9, 0, 0,  //
                                     0, 1, 0,  //
                                     0, 0, 0};
  const auto eight = LabelRegions(mask, 3, 3, 8);
  ASSERT_TRUE(eight.ok()) << eight.status();
  EXPECT_EQ(eight->count, 1);
  EXPECT_THAT(eight->labels, ElementsAre(1, 0, 0, 0, 1, 0, 0, 0, 0));
  const auto four = LabelRegions(mask, 3, 3, 4);
  ASSERT_TRUE(four.ok()) << four.status();
  EXPECT_EQ(four->count, 2);
  EXPECT_NE(four->labels[0], four->labels[4]);
  EXPECT_EQ(LabelRegions(std::vector<uint8_t>(9, 0), 3, 3, 8)->count, 0);
}

}  // namespace
}  // namespace hfwa::image
