#include "lab/eval/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lab/eval/output.h"
#include "lab/eval/report_html.h"
#include "lab/eval/table.h"

namespace hfwa::lab {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

constexpr auto kAuroc = static_cast<size_t>(Column::kImageAuroc);
constexpr auto kPro = static_cast<size_t>(Column::kAuproSowa);

Measurement Measured(const std::string& name, int seed, const Metric& auroc) {
  Measurement of = {.method = "hfwa",
                    .class_name = name,
                    .shots = 1,
                    .seed = seed,
                    .references = {"a.png"},
                    .missing = "",
                    .subsets = {},
                    .scores = {}};
  Subset all;
  all.name = "all";
  all.good = 3;
  all.defects = 4;
  for (const char* scoring : {"paper", "service"}) {
    ImageMetrics images;
    images.scoring = scoring;
    images.ranking.auroc = auroc;
    images.good_called_anomalous = std::string(scoring) == "paper"
                                       ? Metric::Undefined("no threshold")
                                       : Metric{.value = 0.25, .undefined = ""};
    all.images.push_back(images);
  }
  all.pixels.aupro_sowa = Metric::Undefined("no masks");
  of.subsets.push_back(all);
  of.scores = {{0, 0.5, true}, {1, 0.25, false}};
  return of;
}

Metric Value(double value) { return {.value = value, .undefined = ""}; }

EvaluationResult TwoClasses() {
  EvaluationResult result;
  result.methods = {"hfwa"};
  result.classes = {"a,\"b\"", "<i>c</i>"};
  result.subject.shots = {1};
  result.subject.seeds = {0, 1};
  result.measurements = {Measured(result.classes[0], 0, Value(0.5)),
                         Measured(result.classes[0], 1, Value(0.7)),
                         Measured(result.classes[1], 0, Value(0.9)),
                         Measured(result.classes[1], 1, Metric::Undefined("nothing anomalous"))};
  result.problems = {{"x.png", "is missing"}};
  return result;
}

TEST(AveragesTest, are_over_draws_and_then_over_classes) {
  const std::vector<Average> averages = Averages(ToRows(TwoClasses()));
  ASSERT_THAT(averages, SizeIs(6));  // two scorings of two classes and their mean
  EXPECT_DOUBLE_EQ(averages[0].values[kAuroc]->mean, 0.6);
  EXPECT_DOUBLE_EQ(averages[0].values[kAuroc]->deviation, 0.1);
  EXPECT_DOUBLE_EQ(averages[1].values[kAuroc]->mean, 0.9);
  EXPECT_EQ(averages[2].class_name, "");
  // Seed 0: (0.5 + 0.9) / 2; seed 1: 0.7, as the other class has no value.
  EXPECT_DOUBLE_EQ(averages[2].values[kAuroc]->mean, 0.7);
  EXPECT_DOUBLE_EQ(averages[2].values[kAuroc]->deviation, 0);
  EXPECT_DOUBLE_EQ(averages[2].values[kAuroc]->with_placeholders, (0.7 + 0.35) / 2);
  EXPECT_EQ(averages[2].values[kAuroc]->classes, 2);
  EXPECT_EQ(averages[2].values[kPro]->undefined, "no masks");
  // Pixels are in the first scoring's row alone.
  EXPECT_EQ(averages[3].scoring, "service");
  EXPECT_FALSE(averages[3].values[kPro].has_value());
}

TEST(TableTest, shows_percent_and_says_why_cells_are_empty) {
  const EvaluationResult result = TwoClasses();
  std::ostringstream out;
  PrintTables(result, Averages(ToRows(result)), out);
  EXPECT_THAT(out.str(), HasSubstr("60.0 \u00b1 10.0"));
  EXPECT_THAT(out.str(), HasSubstr("n/a: mean, AUPRO sowa: no masks"));
  EXPECT_THAT(out.str(), HasSubstr("problem: x.png: is missing (left out)"));
  EXPECT_THAT(out.str(), HasSubstr("good called anomalous"));
}

TEST(OutputTest, writes_undefined_values_never_as_zero) {
  const EvaluationResult result = TwoClasses();
  const std::vector<Row> rows = ToRows(result);
  EXPECT_THAT(ToCsv(rows), HasSubstr("hfwa,\"a,\"\"b\"\"\",1,1,all,paper,3,4,0.7,"));
  EXPECT_THAT(ToCsv(rows), HasSubstr("hfwa,<i>c</i>,1,1,all,paper,3,4,n/a,"));
  const std::string json = ToJson(result, rows, Averages(rows));
  EXPECT_THAT(json, HasSubstr("\"undefined\": \"nothing anomalous\""));
}

TEST(ReportTest, escapes_what_comes_from_the_set) {
  const EvaluationResult result = TwoClasses();
  const std::string html = ToHtml(result, Averages(ToRows(result)));
  EXPECT_THAT(html, HasSubstr("&lt;i&gt;c&lt;/i&gt;"));
  EXPECT_THAT(html, Not(HasSubstr("<i>c")));
  EXPECT_THAT(html, HasSubstr("<svg"));
  EXPECT_THAT(html, Not(HasSubstr("http")));
}

}  // namespace
}  // namespace hfwa::lab
