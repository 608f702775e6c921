// April-GAN against its formula in loops, on a seeded model with linear adapters.

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/model/maps.h"
#include "lab/eval/method.h"
#include "lab/seeded_model.h"
#include "tests/lab/scratch.h"

namespace hfwa::lab {
namespace {

constexpr int kReferences = 2;

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class AprilGanTest : public testing::Test {
 protected:
  AprilGanTest() {
    auto config = nlohmann::json::parse(ReadText(HFWA_SOURCE_DIR "/tests/data/seeded_model.json"));
    config["adapter"]["type"] = "linear";
    EXPECT_TRUE(WriteSeededModel(config.dump(), 5,
                                 ReadText(HFWA_SOURCE_DIR "/tests/data/merges.txt"), folder_.root())
                    .ok());
    files_ = *model::ReadModelDirectory(folder_.root());
    hfwa_ = *model::Hfwa::Create(files_, {});
    for (const char* prefix : {"image", "reference"}) {
      const at::Tensor images = SeededImages(hfwa_->config(), 4, prefix, kReferences);
      for (int i = 0; i < kReferences; ++i) {
        (std::string(prefix) == "image" ? tests_ : references_.images)
            .push_back(*Encode(*hfwa_, images.slice(0, i, i + 1), "object"));
      }
    }
  }

  // Levels' maps, then the one of all, a value at a time: sigmoid of the upsampled difference,
  // distances upsampled, nothing smoothed.
  std::vector<at::Tensor> Expected(const Features& image, bool few_shot) const {
    const int levels = hfwa_->config().levels(), grid = hfwa_->config().vision.grid(),
              size = hfwa_->config().map_size;
    std::vector<at::Tensor> maps;
    at::Tensor all = at::zeros({size, size});
    for (int n = 0; n < levels; ++n) {
      at::Tensor distances = at::zeros({grid, grid});
      for (int p = 0; few_shot && p < grid * grid; ++p) {
        float best = -2;
        for (const Features& reference : references_.images) {
          for (int q = 0; q < grid * grid; ++q) {
            best = std::max(best, image.tokens[n][p].dot(reference.tokens[n][q]).item<float>());
          }
        }
        distances[p / grid][p % grid] = 1 - best;
      }
      const auto upsample = [size](const at::Tensor& of) {
        return at::upsample_bilinear2d(of.unsqueeze(0).unsqueeze(0), {size, size}, true)[0][0];
      };
      const at::Tensor language = at::sigmoid(upsample(image.language_diff[n]));
      maps.push_back(language + upsample(distances));
      all += language + upsample(distances) / levels;
    }
    maps.push_back(all);
    return maps;
  }

  Scratch folder_;
  model::ModelFiles files_;
  std::unique_ptr<model::Hfwa> hfwa_;
  std::vector<Features> tests_;
  References references_;
};

TEST_F(AprilGanTest, is_its_formula_with_and_without_references) {
  const auto method =
      MakeMethod("april-gan", {.hfwa = *hfwa_, .files = files_, .directory = folder_.root()});
  ASSERT_TRUE(method.ok()) << method.status();
  for (const bool few_shot : {false, true}) {
    const auto detector = (*method)->Fit(few_shot ? references_ : References{});
    ASSERT_TRUE(detector.ok()) << detector.status();
    std::vector<RawScore> raws;
    for (const Features& image : tests_) {
      const Judgement judgement = *(*detector)->Judge(image, true);
      const std::vector<at::Tensor> expected = Expected(image, few_shot);
      EXPECT_LE((judgement.map - expected.back()).abs().max().item<float>(), 2e-6F) << few_shot;
      for (int n = 0; n < hfwa_->config().levels(); ++n) {
        EXPECT_LE((judgement.levels[n] - expected[n]).abs().max().item<float>(), 2e-6F) << n;
      }
      EXPECT_EQ(judgement.raw.map_max, judgement.map.max().item<float>());
      raws.push_back(judgement.raw);
    }
    const std::vector<Scoring> scorings = (*detector)->Score(raws);
    ASSERT_EQ(scorings.size(), 1U);
    const bool first_larger = raws[0].map_max > raws[1].map_max;
    for (size_t i = 0; i < raws.size(); ++i) {
      const double scaled = (i == 0) == first_larger ? 1 : 0;
      EXPECT_NEAR(scorings[0].scores[i],
                  few_shot ? 0.5 * (*raws[i].probability + scaled) : *raws[i].probability, 1e-7);
    }
  }
}

TEST_F(AprilGanTest, says_what_a_model_without_linear_adapters_lacks) {
  const model::ModelFiles files = *model::ReadModelDirectory(HFWA_SEEDED_MODEL);
  const auto hfwa = *model::Hfwa::Create(files, {});
  const auto method =
      MakeMethod("april-gan", {.hfwa = *hfwa, .files = files, .directory = HFWA_SEEDED_MODEL});
  EXPECT_TRUE(absl::IsFailedPrecondition(method.status()));
  EXPECT_THAT(method.status().message(), testing::HasSubstr("hfwa-train --adapter linear"));
}

}  // namespace
}  // namespace hfwa::lab
