#include "lab/metrics/pixel_meter.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/image/mask.h"
#include "lab/metrics/partitions.h"
#include "lab/metrics/threshold_fpr.h"

namespace hfwa::lab {
namespace {

using testing::ElementsAre;

constexpr double kTolerance = 1e-12;

struct TestMap {
  int width, height;
  std::vector<float> values;
  std::vector<uint8_t> mask;
};

// Maps of many ties (`levels` distinct values, half of them negative) with square defects.
std::vector<TestMap> RandomMaps(int count, int levels, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<TestMap> maps;
  for (int i = 0; i < count; ++i) {
    TestMap map = {.width = 20 + i, .height = 17, .values = {}, .mask = {}};
    for (int p = 0; p < map.width * map.height; ++p) {
      map.values.push_back(0.25F * static_cast<float>(random() % static_cast<unsigned>(levels)) -
                           0.125F * static_cast<float>(levels));
      map.mask.push_back(0);
    }
    for (int square = i % 3; square > 0; --square) {
      const unsigned x0 = random() % 14, y0 = random() % 11, side = 2 + random() % 4;
      for (unsigned y = y0; y < y0 + side; ++y) {
        for (unsigned x = x0; x < x0 + side; ++x) {
          const size_t at = y * static_cast<unsigned>(map.width) + x;
          map.mask[at] = 1;
          map.values[at] += 2;
        }
      }
    }
    maps.push_back(map);
  }
  return maps;
}

PixelMetrics Measure(const std::vector<TestMap>& maps, const PixelOptions& options) {
  PixelMeter meter(options);
  for (const TestMap& map : maps) {
    EXPECT_TRUE(meter.Add(map.values, map.mask, map.width, map.height).ok());
  }
  auto result = meter.Finish();
  EXPECT_TRUE(result.ok()) << result.status();
  return *std::move(result);
}

// The metrics once more from their definitions, threshold by threshold.
struct ByDefinition {
  double auroc = 0, ap = 0, f1_max = 0, aupro = 0;
};
ByDefinition Define(const std::vector<TestMap>& maps) {
  std::map<double, int, std::greater<>> normal;
  std::map<double, std::pair<int, double>, std::greater<>> anomalous;
  double normals = 0, anomalies = 0, regions = 0;
  for (const TestMap& map : maps) {
    const auto labels = *image::LabelRegions(map.mask, map.width, map.height, 8);
    std::vector<int> areas(static_cast<size_t>(labels.count) + 1);
    for (const int label : labels.labels) ++areas[static_cast<size_t>(label)];
    regions += labels.count;
    for (size_t i = 0; i < map.values.size(); ++i) {
      if (map.mask[i] == 0) {
        ++normal[map.values[i]];
        ++normals;
      } else {
        auto& [count, overlap] = anomalous[map.values[i]];
        ++count;
        overlap += 1.0 / areas[static_cast<size_t>(labels.labels[i])];
        ++anomalies;
      }
    }
  }
  ByDefinition result;
  for (const auto& [a, of_a] : anomalous) {
    for (const auto& [n, count] : normal) {
      result.auroc += (a > n ? 1.0 : a == n ? 0.5 : 0.0) * count * of_a.first;
    }
  }
  result.auroc /= normals * anomalies;
  std::map<double, int, std::greater<>> all;
  for (const auto& [value, count] : normal) all[value] += count;
  for (const auto& [value, of] : anomalous) all[value] += of.first;
  double hits = 0, alarms = 0, overlap = 0, recall_before = 0, fpr_before = 0, pro_before = 0;
  for (const auto& [value, unused] : all) {
    hits += anomalous.count(value) > 0 ? anomalous[value].first : 0;
    overlap += anomalous.count(value) > 0 ? anomalous[value].second : 0;
    alarms += normal.count(value) > 0 ? normal[value] : 0;
    const double precision = hits / (hits + alarms), recall = hits / anomalies;
    result.ap += (recall - recall_before) * precision;
    if (hits > 0) {
      result.f1_max = std::max(result.f1_max, 2 * precision * recall / (precision + recall));
    }
    recall_before = recall;
    double fpr = alarms / normals, pro = overlap / regions;
    if (fpr_before < 0.3) {
      if (fpr > 0.3) {
        pro = pro_before + (pro - pro_before) * (0.3 - fpr_before) / (fpr - fpr_before);
        fpr = 0.3;
      }
      result.aupro += (fpr - fpr_before) * (pro + pro_before) / 2 / 0.3;
      fpr_before = fpr;
      pro_before = pro;
    }
  }
  return result;
}

TEST(PixelMeterTest, agrees_with_the_definitions) {
  for (const int levels : {2, 7, 300, 100000}) {
    for (uint32_t seed = 0; seed < 4; ++seed) {
      const auto maps = RandomMaps(6, levels, seed);
      const PixelMetrics got = Measure(maps, {.scratch = ""});
      const ByDefinition expected = Define(maps);
      SCOPED_TRACE(testing::Message() << levels << " levels, seed " << seed);
      EXPECT_NEAR(got.ranking.auroc.value, expected.auroc, kTolerance);
      EXPECT_NEAR(got.ranking.ap.value, expected.ap, kTolerance);
      EXPECT_NEAR(got.ranking.f1_max.value, expected.f1_max, kTolerance);
      EXPECT_NEAR(got.ranking.aupro.value, expected.aupro, kTolerance);
    }
  }
}

TEST(PixelMeterTest, gives_the_same_from_a_file_as_from_memory) {
  // A megabyte each for normal and anomalous pixels, the least there is; 1,500,000 pixels.
  std::vector<TestMap> maps;
  for (uint32_t seed = 0; seed < 600; ++seed) {
    for (TestMap& map : RandomMaps(6, 100000, seed)) maps.push_back(std::move(map));
  }
  const PixelMetrics memory = Measure(maps, {.scratch = ""});
  const PixelMetrics file = Measure(maps, {.memory_bytes = 1 << 20, .scratch = ""});
  EXPECT_FALSE(memory.on_disk);
  EXPECT_TRUE(file.on_disk);
  EXPECT_EQ(file.ranking.auroc.value, memory.ranking.auroc.value);
  EXPECT_EQ(file.ranking.ap.value, memory.ranking.ap.value);
  EXPECT_EQ(file.ranking.f1_max.value, memory.ranking.f1_max.value);
  EXPECT_NEAR(file.ranking.aupro.value, memory.ranking.aupro.value, kTolerance);
  EXPECT_NEAR(file.aupro_reference.value, memory.aupro_reference.value, kTolerance);
  EXPECT_GT(memory.aupro_reference.value, 0);
}

TEST(PixelMeterTest, says_that_the_file_cannot_be_written) {
  PixelMeter meter({.memory_bytes = 1 << 20, .scratch = "no such folder"});
  const auto maps = RandomMaps(6, 100000, 0);
  for (int round = 0; round < 600; ++round) {
    for (const TestMap& map : maps) {
      ASSERT_TRUE(meter.Add(map.values, map.mask, map.width, map.height).ok());
    }
  }
  EXPECT_FALSE(meter.Finish().ok());
}

TEST(PixelMeterTest, takes_both_zeros_as_one_value) {
  PixelMeter meter({.scratch = ""});
  ASSERT_TRUE(meter.Add({0.0F, -0.0F}, {0, 1}, 2, 1).ok());
  const auto result = meter.Finish();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_DOUBLE_EQ(result->ranking.auroc.value, 0.5);
}

TEST(PixelMeterTest, refuses_values_that_are_not_finite_and_other_sizes) {
  PixelMeter meter({.scratch = ""});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(absl::IsInvalidArgument(meter.Add({0.0F, nan}, {0, 1}, 2, 1)));
  EXPECT_TRUE(absl::IsInvalidArgument(meter.Add({HUGE_VALF, 1}, {0, 1}, 2, 1)));
  EXPECT_TRUE(absl::IsInvalidArgument(meter.Add({1, 1}, {0, 1}, 1, 1)));
  EXPECT_TRUE(absl::IsInvalidArgument(meter.Add({1, 1}, {0}, 2, 1)));
  EXPECT_TRUE(absl::IsInvalidArgument(meter.Add({}, {}, 0, 0)));
  ASSERT_TRUE(meter.Add({1, 2}, {0, 1}, 2, 1).ok());
  EXPECT_EQ(meter.Finish()->pixels, 2);
}

TEST(PixelMeterTest, says_why_there_is_no_value) {
  const auto measure = [](const std::vector<float>& map, const std::vector<uint8_t>& mask) {
    PixelMeter meter({.scratch = ""});
    EXPECT_TRUE(meter.Add(map, mask, static_cast<int>(map.size()), 1).ok());
    return *meter.Finish();
  };
  const PixelMetrics normal = measure({1, 2}, {0, 0});
  EXPECT_EQ(normal.ranking.auroc.undefined, "nothing anomalous");
  EXPECT_EQ(normal.ranking.aupro.undefined, "no region");
  EXPECT_EQ(normal.aupro_reference.undefined, "no region");
  const PixelMetrics anomalous = measure({1, 2}, {1, 1});
  EXPECT_EQ(anomalous.ranking.auroc.undefined, "nothing normal");
  EXPECT_EQ(anomalous.ranking.ap.value, 1);
  EXPECT_EQ(anomalous.ranking.aupro.undefined, "nothing normal");
  const PixelMetrics constant = measure({1, 1, 1, 1}, {0, 1, 0, 0});
  EXPECT_DOUBLE_EQ(constant.ranking.auroc.value, 0.5);
  EXPECT_DOUBLE_EQ(constant.ranking.aupro.value, 0.15);
  EXPECT_EQ(constant.aupro_reference.undefined, "constant maps");
}

TEST(PixelMeterTest, draws_curves_of_few_points_that_keep_their_area) {
  const auto maps = RandomMaps(30, 100000, 3);
  const PixelMetrics got = Measure(maps, {.scratch = "", .curve_points = 400});
  const auto area = [](const Curve& curve) {
    double sum = 0;
    for (size_t i = 1; i < curve.size(); ++i) {
      sum += (curve[i].x - curve[i - 1].x) * (curve[i].y + curve[i - 1].y) / 2;
    }
    return sum;
  };
  EXPECT_LE(got.ranking.roc.size(), 400);
  EXPECT_GE(got.ranking.roc.size(), 50);
  EXPECT_NEAR(area(got.ranking.roc), got.ranking.auroc.value, 0.005);
  EXPECT_NEAR(area(got.ranking.pr), got.ranking.ap.value, 0.02);
  EXPECT_NEAR(area(got.ranking.pro) / kFprMax, got.ranking.aupro.value, 0.005);
  EXPECT_DOUBLE_EQ(got.ranking.roc.back().x, 1);
  EXPECT_DOUBLE_EQ(got.ranking.pro.back().x, kFprMax);
}

TEST(PartitionsTest, give_back_what_went_in_through_several_runs) {
  Partitions<uint16_t> parts(0, "");
  std::map<uint16_t, std::vector<uint16_t>> expected;
  std::mt19937 random(5);
  for (int i = 0; i < 3'000'000; ++i) {
    const auto part = static_cast<uint16_t>(random() % 7 == 0 ? random() : 65535U);
    const auto record = static_cast<uint16_t>(random());
    parts.Add(part, record);
    expected[part].push_back(record);
  }
  EXPECT_TRUE(parts.on_disk());
  for (const uint16_t part : {uint16_t{0}, uint16_t{1}, uint16_t{40000}, uint16_t{65535}}) {
    std::vector<uint16_t> got;
    ASSERT_TRUE(parts
                    .Visit(part,
                           [&got](absl::Span<const uint16_t> records) {
                             got.insert(got.end(), records.begin(), records.end());
                           })
                    .ok());
    EXPECT_EQ(parts.count(part), expected[part].size());
    std::sort(got.begin(), got.end());
    std::sort(expected[part].begin(), expected[part].end());
    EXPECT_EQ(got, expected[part]) << "part " << part;
  }
}

TEST(ThresholdFprTest, counts_strictly_above_and_averages_over_images) {
  ThresholdFpr rates(1 << 20, "");
  rates.Add({0.0F, 0.5F, 1.0F, 0.75F});
  rates.Add({});
  rates.Add({0.25F, 0.5F});
  EXPECT_THAT(*rates.Rates({0.0, 0.5, 1.0}), ElementsAre((0.75 + 1) / 2, 0.25, 0));
  EXPECT_THAT(*ThresholdFpr(1 << 20, "").Rates({0.0}), testing::IsEmpty());
}

TEST(ThresholdFprTest, thresholds_are_those_of_the_papers_program) {
  EXPECT_EQ(ReferenceThresholds(0, 1).size(), 200);
  EXPECT_EQ(ReferenceThresholds(0, 1)[1], 0.005);
  EXPECT_THAT(ReferenceThresholds(2, 2), testing::IsEmpty());
}

TEST(ReferenceAuproTest, needs_two_different_rates_below_the_limit) {
  EXPECT_EQ(ReferenceAupro({0.9, 0.1}, {1, 1}).undefined,
            "fewer than two thresholds below the rate's limit");
  EXPECT_EQ(ReferenceAupro({0.1, 0.1}, {1, 1}).undefined, "all rates are equal");
  // The rate of 0.3 itself is out; rates are stretched to 0..1.
  EXPECT_DOUBLE_EQ(ReferenceAupro({0.3, 0.2, 0.1, 0}, {1, 1, 0.5, 0}).value,
                   0.5 * 0.75 + 0.5 * 0.25);
}

}  // namespace
}  // namespace hfwa::lab
