#include "core/engine/method.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "core/engine/image_input.h"
#include "core/image/turn.h"
#include "core/model/hfwa.h"
#include "core/scoring/score_model.h"
#include "tests/engine/engine_fixture.h"

namespace hfwa::engine {
namespace {

using store::Method;

TEST(TopPatches, is_the_mean_of_the_largest_hundredth) {
  // Two levels; values 0, 1, ... of the sum in no order.
  const auto mean = [](int64_t grid) {
    at::Tensor sum = (at::arange(grid * grid) * 7 % (grid * grid)).to(at::kFloat);
    return TopPatches(at::stack({0.25 * sum, 0.75 * sum}).view({2, grid, grid}));
  };
  EXPECT_DOUBLE_EQ(mean(24), (575 + 574 + 573 + 572 + 571 + 570) / 6.0);
  EXPECT_DOUBLE_EQ(mean(10), 99);
  EXPECT_DOUBLE_EQ(mean(3), 8) << "at least one";
  EXPECT_DOUBLE_EQ(mean(1), 0);
}

// A square part with one thick bar on the left and a bar below it.
image::Image Part(uint32_t seed, bool defect = false) {
  std::mt19937 random(seed);
  image::Image picture{64, 64, std::vector<uint8_t>(static_cast<size_t>(64) * 64 * 3)};
  for (size_t i = 0; i < picture.rgb.size(); ++i) {
    const size_t x = i / 3 % 64, y = i / 3 / 64;
    const bool bar = (x > 8 && x < 20) || (y > 44 && y < 52 && x > 8);
    picture.rgb[i] = static_cast<uint8_t>((bar ? 180 : 60) + random() % 12);
    if (defect && x > 34 && x < 50 && y > 12 && y < 28)
      picture.rgb[i] = static_cast<uint8_t>(random());
  }
  return picture;
}

std::string Png(const image::Image& picture) { return *image::EncodePng(picture); }

class MethodTest : public EngineTest {
 protected:
  void CreateBoth() {
    CreateProduct("upright", Method::kHfwa);
    CreateProduct("any", Method::kAnomalyDino);
  }
  std::vector<std::string> Parts(uint32_t count) {
    std::vector<std::string> parts;
    for (uint32_t seed = 1; seed <= count; ++seed) parts.push_back(Png(Part(seed)));
    return parts;
  }
  // What the score is made of beside language.
  double Distance(const std::string& product, const image::Image& picture) {
    const auto result = Detect(product, Png(picture));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->top_patches.value_or(result->map_max) : 0;
  }
};

TEST_F(MethodTest, a_part_that_lies_otherwise_is_no_defect_where_references_are_turned) {
  CreateBoth();
  for (const char* product : {"upright", "any"}) ASSERT_TRUE(Add(product, Parts(4)).ok());
  for (const int orientation : {2, 4, 6}) {
    const image::Image turned = image::Turn(Part(20), orientation);
    const double hfwa = Distance("upright", turned) / Distance("upright", Part(21, true));
    const double dino = Distance("any", turned) / Distance("any", Part(21, true));
    EXPECT_LT(dino, 0.8 * hfwa) << "orientation " << orientation;
    EXPECT_EQ(Detect("any", Png(turned))->verdict, Verdict::kGood) << orientation;
  }
  EXPECT_EQ(Detect("any", Png(Part(21, true)))->verdict, Verdict::kAnomalous);
}

TEST_F(MethodTest, a_reply_says_how_the_picture_was_judged) {
  CreateBoth();
  for (const char* product : {"upright", "any"}) ASSERT_TRUE(Add(product, Parts(2)).ok());
  const auto hfwa = Detect("upright", Png(Part(9)));
  ASSERT_TRUE(hfwa.ok()) << hfwa.status();
  EXPECT_EQ(hfwa->method, engine::Method::kFewShot);
  EXPECT_TRUE(hfwa->text_probability.has_value());
  EXPECT_FALSE(hfwa->top_patches.has_value());
  const auto dino = Detect("any", Png(Part(9)), {.map = true, .level_maps = true, .regions = true});
  ASSERT_TRUE(dino.ok()) << dino.status();
  EXPECT_EQ(dino->method, engine::Method::kAnomalyDino);
  EXPECT_EQ(dino->calibration, CalibrationState::kProvisional);
  EXPECT_FALSE(dino->text_probability.has_value());
  ASSERT_TRUE(dino->top_patches.has_value());
  EXPECT_GE(*dino->top_patches * (1 + 1e-6), dino->map_max) << "of the grid, without language";
  EXPECT_EQ(dino->level_maps.size(), 4U);
  EXPECT_EQ(dino->threshold, 0.5);
}

TEST_F(MethodTest, without_references_there_is_nothing_to_judge_by) {
  CreateProduct("any", Method::kAnomalyDino);
  const auto result = Detect("any", Png(Part(1)));
  EXPECT_TRUE(absl::IsFailedPrecondition(result.status())) << result.status();
  EXPECT_EQ(Payload(result.status(), kReasonPayload), "NO_REFERENCES");
  EXPECT_EQ(engine_->GetCalibration(*engine_->store().GetProduct("any"))->state,
            CalibrationState::kUncalibrated);
}

// The builder's thread still holds the call, and its place, when the engine goes.
TEST_F(MethodTest, an_engine_waits_for_a_refusal_that_is_being_given) {
  CreateProduct("any", Method::kAnomalyDino);
  const std::string picture = Png(Part(1));
  absl::Notification refused, never;
  std::atomic<bool> given = false;
  DetectCall call;
  call.product_id = "any";
  call.image.encoded = picture;
  call.done = [&](const absl::StatusOr<DetectResult>& result) {
    EXPECT_TRUE(absl::IsFailedPrecondition(result.status()));
    refused.Notify();
    never.WaitForNotificationWithTimeout(absl::Milliseconds(300));
    given = true;
  };
  engine_->Detect(std::move(call));
  refused.WaitForNotification();
  engine_.reset();
  EXPECT_TRUE(given);
}

TEST_F(MethodTest, a_change_of_method_is_another_revision_and_goes_back_to_the_bit) {
  CreateProduct("bolt");
  ASSERT_TRUE(Add("bolt", Parts(3)).ok());
  const auto before = Detect("bolt", Png(Part(9, true)));
  store::ProductPatch patch;
  patch.method = Method::kAnomalyDino;
  ASSERT_TRUE(engine_->UpdateProduct("bolt", patch, "", {}).ok());
  const auto turned = Detect("bolt", Png(Part(9, true)));
  ASSERT_TRUE(turned.ok()) << turned.status();
  EXPECT_EQ(turned->revision, 2);
  EXPECT_EQ(turned->method, engine::Method::kAnomalyDino);
  // As if it had been so from the start.
  CreateProduct("any", Method::kAnomalyDino);
  ASSERT_TRUE(Add("any", Parts(3)).ok());
  const auto started = Detect("any", Png(Part(9, true)));
  EXPECT_EQ(turned->score, started->score);
  EXPECT_EQ(turned->top_patches, started->top_patches);
  patch.method = Method::kHfwa;
  ASSERT_TRUE(engine_->UpdateProduct("bolt", patch, "", {}).ok());
  const auto after = Detect("bolt", Png(Part(9, true)));
  EXPECT_EQ(after->score, before->score);
  EXPECT_EQ(after->map_max, before->map_max);
  EXPECT_EQ(after->threshold, before->threshold);
}

TEST_F(MethodTest, a_restart_brings_turned_references_back_without_encoding) {
  CreateProduct("any", Method::kAnomalyDino);
  observer_.images = 0;
  ASSERT_TRUE(Add("any", Parts(2)).ok());
  EXPECT_EQ(observer_.images, 2 * image::kOrientations);
  for (const double ratio : {1.0, 0.1}) {
    store::ProductPatch patch;
    patch.coreset_ratio = ratio;
    ASSERT_TRUE(engine_->UpdateProduct("any", patch, "", {}).ok());
    const auto before = Detect("any", Png(Part(7, true)));
    ASSERT_TRUE(before.ok()) << before.status();
    Open();
    observer_.images = 0;
    const auto again = Detect("any", Png(Part(7, true)));
    EXPECT_EQ(observer_.images, 1) << "only the judged image may enter the model";
    EXPECT_EQ(again->score, before->score) << ratio;
    engine_.reset();
    fs::remove_all(data_directory_ + "/cache");
    Open();
    EXPECT_EQ(Detect("any", Png(Part(7, true)))->score, before->score) << ratio;
  }
}

TEST_F(MethodTest, a_bank_holds_no_more_pictures_whatever_the_method) {
  options_.references_max = 23;
  Open();
  CreateBoth();
  ASSERT_TRUE(Add("any", Parts(2)).ok());
  const auto third = Add("any", {Png(Part(3))});
  EXPECT_TRUE(absl::IsFailedPrecondition(third.status())) << third.status();
  const auto at_once = Add("any", Parts(3));
  ASSERT_TRUE(at_once.ok()) << at_once.status();
  EXPECT_EQ(Payload(at_once->items[2].status, kReasonPayload), "TOO_MANY_REFERENCES");
  ASSERT_TRUE(Add("upright", Parts(3)).ok());
  store::ProductPatch patch;
  patch.method = Method::kAnomalyDino;
  EXPECT_TRUE(
      absl::IsFailedPrecondition(engine_->UpdateProduct("upright", patch, "", {}).status()));
  EXPECT_EQ(Detect("upright", Png(Part(9)))->method, engine::Method::kFewShot);
}

// The whole method once more, in loops over the model's tokens.
class Loops {
 public:
  explicit Loops(const std::string& directory)
      : model_(*model::Hfwa::Create(*model::ReadModelDirectory(directory), {})) {}

  at::Tensor Tokens(const image::Image& picture, int orientation) {
    const int64_t side = model_->config().vision.image_size;
    const at::Tensor image = ToModelTensor(image::Turn(picture, orientation), model_->config(),
                                           at::empty({3, side, side}));
    return model_->Forward(image.unsqueeze(0), std::vector<int>{0})->tokens[0].contiguous();
  }

  // Distance of each patch to the nearest of all references but one, in all orientations, summed
  // over levels; the mean of the largest hundredth.
  double Distance(const image::Image& picture, const std::vector<image::Image>& references,
                  int without = -1) {
    const at::Tensor own = Tokens(picture, 0);
    const int64_t levels = own.size(0), patches = own.size(1), width = own.size(2);
    std::vector<double> sums(static_cast<size_t>(patches), 0);
    std::vector<at::Tensor> bank;
    for (int k = 0; k < static_cast<int>(references.size()); ++k) {
      for (int o = 0; o < 8 && k != without; ++o)
        bank.push_back(Tokens(references[static_cast<size_t>(k)], o));
    }
    for (int64_t level = 0; level < levels; ++level) {
      for (int64_t p = 0; p < patches; ++p) {
        const float* const token = own.data_ptr<float>() + (level * patches + p) * width;
        double nearest = 2;
        for (const at::Tensor& other : bank) {
          for (int64_t q = 0; q < patches; ++q) {
            const float* const row = other.data_ptr<float>() + (level * patches + q) * width;
            double cosine = 0;
            for (int64_t e = 0; e < width; ++e) cosine += double{token[e]} * double{row[e]};
            nearest = std::min(nearest, 1 - cosine);
          }
        }
        sums[static_cast<size_t>(p)] += nearest;
      }
    }
    std::sort(sums.rbegin(), sums.rend());
    const size_t count = std::max<size_t>(1, sums.size() / 100);
    double mean = 0;
    for (size_t i = 0; i < count; ++i) mean += sums[i] / static_cast<double>(count);
    return mean;
  }

 private:
  std::unique_ptr<model::Hfwa> model_;
};

TEST_F(MethodTest, judges_as_loops_over_all_orientations_do) {
  CreateProduct("any", Method::kAnomalyDino);
  ASSERT_TRUE(Add("any", Parts(3)).ok());
  Loops loops(*model_directory_);
  const std::vector<image::Image> references = {Part(1), Part(2), Part(3)};
  std::vector<scoring::ReferenceRaw> raws(3);
  for (int k = 0; k < 3; ++k) {
    raws[static_cast<size_t>(k)].raw.map_max =
        loops.Distance(references[static_cast<size_t>(k)], references, k);
  }
  const auto score_model = scoring::ScoreModel::FromReferences(raws);
  for (const image::Image& picture : {Part(9), Part(9, true), image::Turn(Part(10), 3)}) {
    const auto result = Detect("any", Png(picture));
    ASSERT_TRUE(result.ok()) << result.status();
    const double expected = loops.Distance(picture, references);
    EXPECT_NEAR(*result->top_patches, expected, 1e-5);
    EXPECT_NEAR(result->score, score_model.Score({.text_probability = {}, .map_max = expected}),
                1e-4);
  }
}

}  // namespace
}  // namespace hfwa::engine
