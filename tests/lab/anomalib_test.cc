// The exact protocol against anomalib, which computes in float32: by numbers that
// anomalib_numbers.py printed.

#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "lab/metrics/pixel_meter.h"

namespace hfwa::lab {
namespace {

constexpr int kWidth = 48, kHeight = 40, kMaps = 8;
constexpr double kTolerance = 1e-6;

// The generator of the script.
class Numbers {
 public:
  explicit Numbers(uint32_t seed) : state_(seed) {}
  uint32_t Draw(uint32_t n) {
    state_ = state_ * 1664525U + 1013904223U;
    return (state_ >> 8) % n;
  }

 private:
  uint32_t state_;
};

struct Expected {
  uint32_t levels, seed;
  double auroc, ap, f1_max, aupro;
};

TEST(AnomalibTest, gives_the_same_numbers_on_made_up_maps) {
  // anomalib 2.7.0, torch 2.11.0; average precision by torchmetrics.
  for (const Expected& expected :
       {Expected{4096, 1, 0.87259704, 0.54994047, 0.66518843, 0.66750646},
        Expected{16, 2, 0.87714404, 0.54350150, 0.66442955, 0.62953478},
        Expected{65536, 3, 0.87293810, 0.54336417, 0.65987778, 0.63264102}}) {
    SCOPED_TRACE(testing::Message() << expected.levels << " levels");
    Numbers numbers(expected.seed);
    PixelMeter meter({.scratch = ""});
    for (uint32_t i = 0; i < kMaps; ++i) {
      std::vector<float> map;
      std::vector<uint8_t> mask(size_t{kWidth} * kHeight);
      for (size_t p = 0; p < mask.size(); ++p) {
        map.push_back(static_cast<float>(numbers.Draw(expected.levels)) /
                      static_cast<float>(expected.levels));
      }
      for (uint32_t square = i % 4; square > 0; --square) {
        const uint32_t x0 = numbers.Draw(kWidth - 8), y0 = numbers.Draw(kHeight - 8);
        const uint32_t side = 2 + numbers.Draw(6);
        for (uint32_t y = y0; y < y0 + side; ++y) {
          for (uint32_t x = x0; x < x0 + side; ++x) {
            map[y * kWidth + x] += 0.5F;
            mask[y * kWidth + x] = 1;
          }
        }
      }
      ASSERT_TRUE(meter.Add(map, mask, kWidth, kHeight).ok());
    }
    const auto got = meter.Finish();
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_NEAR(got->ranking.auroc.value, expected.auroc, kTolerance);
    EXPECT_NEAR(got->ranking.ap.value, expected.ap, kTolerance);
    EXPECT_NEAR(got->ranking.f1_max.value, expected.f1_max, kTolerance);
    EXPECT_NEAR(got->ranking.aupro.value, expected.aupro, kTolerance);
  }
}

}  // namespace
}  // namespace hfwa::lab
