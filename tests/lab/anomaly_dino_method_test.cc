// The lab's AnomalyDINO against its formula in loops, and against the service.

#include "lab/eval/anomaly_dino_method.h"

#include <algorithm>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "core/image/turn.h"
#include "core/model/maps.h"
#include "lab/data/load.h"
#include "tests/engine/engine_fixture.h"

namespace hfwa::lab {
namespace {

image::Image Decoded(const std::string& bytes) { return *image::Decode(bytes, {}); }

class AnomalyDinoTest : public engine::EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    hfwa_ = *model::Hfwa::Create(*model::ReadModelDirectory(*model_directory_), {});
    method_ = std::make_unique<AnomalyDinoMethod>(*hfwa_);
  }

  // As an evaluation makes them.
  Features FeaturesOf(const image::Image& picture, bool reference) {
    const at::Tensor input = ToModelInput(picture, hfwa_->config());
    Features features = *Encode(*hfwa_, input, "object");
    for (const View* view : method_->views()) {
      if (view->references_only() && !reference) continue;
      features.views[view->name()] =
          *view->Look({.picture = picture, .model_input = input, .class_name = "object"});
    }
    return features;
  }

  std::unique_ptr<Detector> Fit(const std::vector<image::Image>& pictures) {
    References references;
    for (const image::Image& picture : pictures)
      references.images.push_back(FeaturesOf(picture, /*reference=*/true));
    return *method_->Fit(references);
  }

  std::unique_ptr<model::Hfwa> hfwa_;
  std::unique_ptr<Method> method_;
};

TEST_F(AnomalyDinoTest, is_what_the_service_answers) {
  for (const uint32_t count : {1U, 2U, 5U}) {
    const std::string product = "p" + std::to_string(count);
    CreateProduct(product, store::Method::kAnomalyDino);
    std::vector<std::string> files;
    std::vector<image::Image> pictures;
    for (uint32_t seed = 1; seed <= count; ++seed) {
      files.push_back(engine::Picture(seed));
      pictures.push_back(Decoded(files.back()));
    }
    ASSERT_TRUE(Add(product, files).ok());
    const auto detector = Fit(pictures);
    for (const uint32_t seed : {1U, 20U, 21U}) {
      const std::string file = engine::Picture(seed, /*defect=*/seed == 21);
      const auto reply = Detect(product, file);
      ASSERT_TRUE(reply.ok()) << reply.status();
      const auto judged = detector->Judge(FeaturesOf(Decoded(file), false), true);
      ASSERT_TRUE(judged.ok()) << judged.status();
      EXPECT_EQ(*judged->raw.image, static_cast<float>(*reply->top_patches)) << count;
      EXPECT_EQ(judged->raw.map_max, static_cast<float>(reply->map_max)) << count;
      EXPECT_EQ(judged->levels.size(0), hfwa_->config().levels());
      const std::vector<Scoring> scorings = detector->Score({judged->raw});
      ASSERT_EQ(scorings.size(), 2);
      EXPECT_EQ(scorings[0].name, "paper");
      EXPECT_EQ(scorings[0].scores[0], *judged->raw.image);
      EXPECT_EQ(scorings[1].name, "service");
      // Its raw value was rounded to fp32 on the way.
      EXPECT_NEAR(scorings[1].scores[0], reply->score, 1e-6) << count;
      EXPECT_EQ(scorings[1].threshold, reply->threshold);
    }
  }
}

TEST_F(AnomalyDinoTest, is_its_formula) {
  const std::vector<image::Image> references = {Decoded(engine::Picture(1)),
                                                Decoded(engine::Picture(2))};
  const image::Image picture = Decoded(engine::Picture(9, true));
  const auto tokens_of = [&](const image::Image& of) {
    return Encode(*hfwa_, ToModelInput(of, hfwa_->config()), "object")->tokens;
  };
  std::vector<at::Tensor> bank;
  for (const image::Image& reference : references) {
    for (int orientation = 0; orientation < 8; ++orientation)
      bank.push_back(tokens_of(image::Turn(reference, orientation)));
  }
  const at::Tensor own = tokens_of(picture);
  const auto patch = own.accessor<float, 3>();
  const int64_t patches = own.size(1);
  at::Tensor sums = at::zeros({patches});
  for (int64_t level = 0; level < own.size(0); ++level) {
    for (int64_t p = 0; p < patches; ++p) {
      double nearest = 2;
      for (const at::Tensor& tokens : bank) {
        const auto row = tokens.accessor<float, 3>();
        for (int64_t q = 0; q < patches; ++q) {
          double cosine = 0;
          for (int64_t e = 0; e < own.size(2); ++e)
            cosine += double{patch[level][p][e]} * double{row[level][q][e]};
          nearest = std::min(nearest, 1 - cosine);
        }
      }
      sums[p] += nearest;
    }
  }
  const auto judged = Fit(references)->Judge(FeaturesOf(picture, false), false);
  ASSERT_TRUE(judged.ok()) << judged.status();
  // 64 patches: the hundredth is one.
  EXPECT_NEAR(*judged->raw.image, sums.max().item<float>(), 1e-5);
  const int64_t grid = hfwa_->config().vision.grid();
  const at::Tensor map =
      model::UpsampleMaps(sums.view({1, grid, grid}), hfwa_->config().map_size)[0];
  EXPECT_LE((judged->map - map).abs().max().item<float>(), 1e-5);
}

TEST_F(AnomalyDinoTest, says_that_it_needs_references) {
  EXPECT_TRUE(absl::IsFailedPrecondition(method_->Fit({}).status()));
}

}  // namespace
}  // namespace hfwa::lab
