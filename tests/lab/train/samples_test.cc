// From files to what a place of an epoch trains on.

#include "lab/train/samples.h"

#include <algorithm>
#include <set>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/lab/train/world.h"

namespace hfwa::lab::train {
namespace {

class SamplesTest : public ::testing::Test {
 protected:
  SamplesTest() {
    set_ = *ReadDataSet(world_.Data(5, 5));
    config_ = *model::ParseModelConfig(*ReadFile(world_.Model() + "/config.json"));
  }
  std::unique_ptr<Samples> Make(double mosaic_rate, MosaicKind kind = MosaicKind::kCorrected,
                                bool train_split = false) {
    SampleOptions options;
    options.mosaic_rate = mosaic_rate;
    options.mosaic = kind;
    options.train_split = train_split;
    auto samples = Samples::Create(set_, config_, options, nullptr);
    return samples.ok() ? *std::move(samples) : nullptr;
  }

  World world_;
  DataSet set_;
  model::ModelConfig config_;
};

TEST_F(SamplesTest, an_epoch_s_order_holds_every_item_once_and_is_its_own) {
  const auto samples = Make(0);
  const std::vector<int64_t> first = samples->Order(0);
  EXPECT_EQ(std::set<int64_t>(first.begin(), first.end()).size(), 10U);
  EXPECT_EQ(first, samples->Order(0));
  EXPECT_NE(first, samples->Order(1));
}

TEST_F(SamplesTest, a_plain_sample_has_its_label_and_every_touched_pixel) {
  const auto samples = Make(0);
  for (int64_t item = 0; item < samples->size(); ++item) {
    const auto sample = samples->Make(0, 0, item);
    ASSERT_TRUE(sample.ok()) << sample.status();
    const bool defect = sample->file.find("/blot/") != std::string::npos;
    EXPECT_EQ(sample->label, defect ? 1 : 0);
    EXPECT_EQ(sample->class_index, 0);  // "bolt" is unknown to the model
    EXPECT_TRUE(sample->mask_known);
    // The blot's 14 x 14 of 60 x 40 pixels on 56 x 56: 13.07 columns touch 14 or 15, 19.6 rows 20
    // or 21, and the filter's support one more on either side.
    const double positive = sample->mask.sum().item<double>();
    if (defect) {
      EXPECT_GE(positive, 14 * 20);
      EXPECT_LE(positive, 17 * 23);
    } else {
      EXPECT_EQ(positive, 0);
    }
  }
}

TEST_F(SamplesTest, the_training_split_is_added_where_asked) {
  EXPECT_EQ(Make(0)->size(), 10);
  EXPECT_EQ(Make(0, MosaicKind::kCorrected, true)->size(), 11);
}

TEST_F(SamplesTest, a_mosaic_s_label_follows_its_mask_and_its_draw_is_the_place_s) {
  const auto samples = Make(1);
  int anomalous = 0;
  for (int64_t place = 0; place < 40; ++place) {
    const auto sample = samples->Make(0, place, 0);
    ASSERT_TRUE(sample.ok()) << sample.status();
    EXPECT_EQ(sample->label, sample->mask.any().item<bool>() ? 1 : 0) << place;
    EXPECT_EQ(sample->sha256, "");  // nothing to cache it under
    anomalous += static_cast<int>(sample->label);
    const auto again = samples->Make(0, place, 0);
    EXPECT_TRUE(at::equal(sample->image, again->image));
  }
  // Each tile is good with probability 1/2: 1 mosaic of 16 has no defect.
  EXPECT_GT(anomalous, 30);
  EXPECT_LT(anomalous, 40);
  EXPECT_FALSE(at::equal(samples->Make(0, 1, 0)->image, samples->Make(1, 1, 0)->image));
}

TEST_F(SamplesTest, the_reference_s_mosaic_refuses_these_pictures) {
  const auto sample = Make(1, MosaicKind::kReference)->Make(0, 0, 0);
  EXPECT_THAT(sample.status().message(), ::testing::HasSubstr("60x40"));
}

TEST_F(SamplesTest, the_mosaic_s_rate_is_kept) {
  const auto samples = Make(0.2);
  int mosaics = 0;
  for (int64_t place = 0; place < 300; ++place) {
    mosaics += static_cast<int>(samples->Make(3, place, 0)->sha256.empty());
  }
  EXPECT_GT(mosaics, 35);  // 60 expected, deviation 7
  EXPECT_LT(mosaics, 85);
}

}  // namespace
}  // namespace hfwa::lab::train
