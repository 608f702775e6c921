#include "lab/report.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "lab/tolerances.h"

namespace hfwa::lab {
namespace {

TEST(ReportTest, nothing_compared_is_not_ok) {
  Report report;
  EXPECT_FALSE(report.ok());
  report.Skip("a", "why");
  EXPECT_FALSE(report.ok());
}

TEST(ReportTest, fails_beyond_the_tolerance_on_shapes_and_on_nan) {
  const at::Tensor one = at::ones({2});
  const auto ok = [](const at::Tensor& computed, const at::Tensor& expected, double tolerance) {
    Report report;
    report.Compare("a", computed, expected, tolerance);
    return report.ok();
  };
  EXPECT_TRUE(ok(one, one, 0));
  EXPECT_TRUE(ok(one, one + 0.25, 0.25));
  EXPECT_FALSE(ok(one, one + 0.25, 0.2));
  EXPECT_FALSE(ok(one, at::ones({3}), 1));
  EXPECT_FALSE(ok(one * std::numeric_limits<float>::quiet_NaN(), one, 1));
}

TEST(ReportTest, one_missing_row_fails_the_whole) {
  Report report;
  report.Check("a", true);
  EXPECT_TRUE(report.ok());
  report.Missing("b", "not computed");
  EXPECT_FALSE(report.ok());
}

TEST(ToleranceTest, depends_on_size_and_precision_and_is_negative_for_unknown_names) {
  using model::Precision;
  EXPECT_EQ(Tolerance("map_sum", Precision::kFp32, false), 5e-6);
  EXPECT_EQ(Tolerance("map_sum", Precision::kFp32, true), 2e-6);
  EXPECT_EQ(Tolerance("grid_logits.3", Precision::kBf16, true), 4.5e-3);
  EXPECT_EQ(Tolerance("prompts", Precision::kBf16, true), 0);
  EXPECT_LT(Tolerance("tap.x", Precision::kFp32, true), 0);
  EXPECT_LT(Tolerance("nonsense", Precision::kFp32, true), 0);
}

}  // namespace
}  // namespace hfwa::lab
