#pragma once

#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "lab/fixture.h"
#include "lab/seeded_model.h"
#include "lab/train/options.h"
#include "tests/lab/scratch.h"

namespace hfwa::lab::train {

// A small seeded model and a data set of made-up pictures, for training.
class World {
 public:
  World() { at::set_num_threads(1); }  // threads that meet at barriers crawl on a busy machine

  // The seeded model with `changes` to its configuration.
  std::string Model(const nlohmann::json& changes = nlohmann::json::object()) {
    nlohmann::json config = *ReadJson(kData + "seeded_model.json");
    config.merge_patch(changes);
    std::string folder = scratch_.path("model" + std::to_string(++made_));
    const absl::Status written =
        WriteSeededModel(config.dump(), 3, *ReadFile(kData + "merges.txt"), folder);
    if (!written.ok()) std::abort();
    return folder;
  }

  // MVTec's folders: `good` and `bad` striped pictures of 60 x 40, the bad ones with a square blot
  // and its mask.
  std::string Data(int good, int bad, const std::string& name = "data") {
    constexpr int kWidth = 60, kHeight = 40;
    for (int i = 0; i < good + bad; ++i) {
      std::vector<uint8_t> picture, mask;
      const bool defect = i >= good;
      for (int y = 0; y < kHeight; ++y) {
        for (int x = 0; x < kWidth; ++x) {
          const bool inside = defect && x >= 20 + i && x < 34 + i && y >= 10 && y < 24;
          const int stripe = (x + 3 * i) % 12 < 6 ? 90 : 150;
          picture.push_back(static_cast<uint8_t>(inside ? (x * y * 37) % 256 : stripe + y % 5));
          mask.push_back(inside ? 255 : 0);
        }
      }
      const std::string number = std::to_string(i), test = name + "/bolt/test/";
      scratch_.WriteGrey(absl::StrCat(test, defect ? "blot/" : "good/", number, ".png"), kWidth,
                         kHeight, picture);
      if (i == 0) {  // another picture: one that is tested too would be refused as a reference
        scratch_.WriteGrey(name + "/bolt/train/good/0.png", kWidth, kHeight,
                           std::vector<uint8_t>(picture.size(), 120));
      }
      if (defect) {
        scratch_.WriteGrey(absl::StrCat(name, "/bolt/ground_truth/blot/", number, "_mask.png"),
                           kWidth, kHeight, mask);
      }
    }
    return scratch_.path(name);
  }

  // A run on both, without mosaics, whose output has that name.
  TrainOptions Options(const std::string& out, const std::string& model, const std::string& data) {
    TrainOptions options;
    options.model = model;
    options.data = data;
    options.out = scratch_.path(out);
    options.batch = 3;
    options.samples.mosaic_rate = 0;
    return options;
  }

  const Scratch& scratch() const { return scratch_; }

 private:
  const std::string kData = std::string(HFWA_SOURCE_DIR) + "/tests/data/";
  Scratch scratch_;
  int made_ = 0;
};

}  // namespace hfwa::lab::train
