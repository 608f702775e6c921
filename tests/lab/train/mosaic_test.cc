#include "lab/train/mosaic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hfwa::lab::train {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

// A picture of one grey; `mask` of one value, or none.
Tile Plain(int width, int height, uint8_t grey, int mask = -1) {
  Tile tile;
  tile.picture = {width, height, std::vector<uint8_t>(size_t{3} * width * height, grey)};
  if (mask >= 0) {
    tile.mask.assign(static_cast<size_t>(width) * height, static_cast<uint8_t>(mask));
    tile.anomalous = mask > 0;
  }
  return tile;
}

int Grey(const Mosaic& mosaic, int x, int y) {
  return mosaic.picture.rgb[3 * (static_cast<size_t>(y) * mosaic.picture.width + x)];
}
int Mask(const Mosaic& mosaic, int x, int y) {
  return mosaic.mask[static_cast<size_t>(y) * mosaic.picture.width + x];
}

TEST(Mosaic, tiles_of_every_size_fill_their_quarter) {
  const auto mosaic =
      MakeMosaic({Plain(6, 4, 10), Plain(9, 3, 20, 255), Plain(2, 20, 30), Plain(6, 4, 40)},
                 MosaicKind::kCorrected);
  ASSERT_TRUE(mosaic.ok());
  ASSERT_EQ(mosaic->picture.width, 12);
  ASSERT_EQ(mosaic->picture.height, 8);
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 12; ++x) {
      const int k = (x >= 6 ? 1 : 0) + (y >= 4 ? 2 : 0);
      EXPECT_EQ(Grey(*mosaic, x, y), 10 * (k + 1)) << x << "," << y;
      EXPECT_EQ(Mask(*mosaic, x, y), k == 1 ? 255 : 0) << x << "," << y;
    }
  }
  EXPECT_TRUE(mosaic->anomalous);
  EXPECT_TRUE(mosaic->mask_known);
}

TEST(Mosaic, the_label_follows_the_mask) {
  const auto good = MakeMosaic({Plain(4, 4, 1), Plain(4, 4, 1), Plain(4, 4, 1), Plain(4, 4, 1)},
                               MosaicKind::kCorrected);
  ASSERT_TRUE(good.ok());
  EXPECT_FALSE(good->anomalous);
  EXPECT_THAT(good->mask, Each(0));
  Tile unknown = Plain(4, 4, 1);
  unknown.anomalous = true;
  const auto bad =
      MakeMosaic({Plain(4, 4, 1), Plain(4, 4, 1), unknown, Plain(4, 4, 1)}, MosaicKind::kCorrected);
  ASSERT_TRUE(bad.ok());
  EXPECT_TRUE(bad->anomalous);
  EXPECT_FALSE(bad->mask_known);
}

TEST(Mosaic, one_marked_pixel_survives_nearest_resizing_in_its_place) {
  Tile marked = Plain(4, 2, 0, 0);
  marked.mask[1] = 255;  // column 1 of row 0
  const auto mosaic =
      MakeMosaic({Plain(8, 4, 0), marked, Plain(8, 4, 0), Plain(8, 4, 0)}, MosaicKind::kCorrected);
  ASSERT_TRUE(mosaic.ok());
  for (int x = 8; x < 16; ++x) EXPECT_EQ(Mask(*mosaic, x, 0), x == 10 || x == 11 ? 255 : 0) << x;
  EXPECT_EQ(Mask(*mosaic, 10, 1), 255);
  EXPECT_EQ(Mask(*mosaic, 10, 2), 0);
}

TEST(Mosaic, the_reference_pastes_unscaled_and_cuts) {
  const auto mosaic =
      MakeMosaic({Plain(4, 4, 10), Plain(2, 2, 20, 255), Plain(6, 6, 30), Plain(6, 6, 40, 255)},
                 MosaicKind::kReference);
  ASSERT_TRUE(mosaic.ok());
  ASSERT_EQ(mosaic->picture.width, 8);
  EXPECT_EQ(Grey(*mosaic, 4, 0), 20);
  EXPECT_EQ(Grey(*mosaic, 6, 0), 0);  // black is left where a tile is too small
  EXPECT_EQ(Mask(*mosaic, 5, 1), 255);
  EXPECT_EQ(Grey(*mosaic, 3, 7), 30);
  EXPECT_EQ(Grey(*mosaic, 4, 4), 40);  // a later tile lies over an earlier one
  EXPECT_EQ(Mask(*mosaic, 7, 7), 255);
}

TEST(Mosaic, the_reference_takes_square_pictures_alone) {
  const auto mosaic = MakeMosaic({Plain(4, 4, 1), Plain(4, 3, 1), Plain(4, 4, 1), Plain(4, 4, 1)},
                                 MosaicKind::kReference);
  EXPECT_THAT(mosaic.status().message(), HasSubstr("4x3"));
}

}  // namespace
}  // namespace hfwa::lab::train
