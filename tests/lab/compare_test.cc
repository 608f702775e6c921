// Comparisons: what their tables say is what the evaluations say.

#include "lab/eval/compare.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lab/eval/compare_html.h"
#include "lab/eval/compare_tables.h"
#include "tests/lab/scratch.h"

namespace hfwa::lab {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int kSide = 56;

// Two sets in MVTec's folders: noise, and noise with a white square; the second without masks.
class CompareTest : public testing::Test {
 protected:
  CompareTest() {
    at::set_num_threads(1);
    std::mt19937 random(7);
    const auto picture = [&random](size_t square) {
      std::vector<uint8_t> pixels(size_t{kSide} * kSide);
      for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(100 + random() % 40);
      for (size_t y = 10; y < 10 + square; ++y) {
        std::fill_n(pixels.begin() + static_cast<int64_t>(y * kSide + 20), square, 255);
      }
      return pixels;
    };
    for (const char* set : {"one/cloth", "two/wood"}) {
      for (int i = 0; i < 3; ++i) {
        folder_.WriteGrey(absl::StrCat(set, "/train/good/", i, ".png"), kSide, kSide, picture(0));
        folder_.WriteGrey(absl::StrCat(set, "/test/good/", i, ".png"), kSide, kSide, picture(0));
        folder_.WriteGrey(absl::StrCat(set, "/test/spot/", i, ".png"), kSide, kSide,
                          picture(5 + static_cast<size_t>(i)));
      }
    }
    std::vector<uint8_t> mask(size_t{kSide} * kSide);
    for (size_t y = 10; y < 16; ++y) {
      std::fill_n(mask.begin() + static_cast<int64_t>(y * kSide + 20), 6, 255);
    }
    for (int i = 0; i < 3; ++i) {
      folder_.WriteGrey(absl::StrCat("one/cloth/ground_truth/spot/", i, "_mask.png"), kSide, kSide,
                        mask);
    }
    options_.data = {*ParseData(absl::StrCat("first=", folder_.path("one"))),
                     *ParseData(folder_.path("two/"))};
    options_.entries = {{"ours", "hfwa", HFWA_SEEDED_MODEL},
                        {"spade", "spade", HFWA_SEEDED_MODEL},
                        {"linear", "april-gan", HFWA_SEEDED_MODEL}};
    options_.evaluation.shots = {0, 2};
    options_.evaluation.seeds = 2;
  }

  Scratch folder_;
  CompareOptions options_;
};

const std::optional<Spread>& ImageAuroc(const Compared* row) {
  return row->values[static_cast<size_t>(Column::kImageAuroc)];
}

TEST_F(CompareTest, holds_the_numbers_of_separate_evaluations_and_their_means) {
  const auto comparison = Compare(options_);
  ASSERT_TRUE(comparison.ok()) << comparison.status();
  for (size_t d = 0; d < 2; ++d) {
    EvaluationOptions single = options_.evaluation;
    single.data = options_.data[d].folder;
    single.model = HFWA_SEEDED_MODEL;
    single.methods = {"hfwa", "spade"};
    const auto rows = ToRows(*Evaluate(single));
    for (const Average& average : Averages(rows)) {
      if (!average.class_name.empty() || average.subset != "all" || average.scoring != "paper") {
        continue;
      }
      const size_t entry = average.method == "hfwa" ? 0 : 1;
      const Compared* row = Find(*comparison, d, entry, average.shots);
      ASSERT_NE(row, nullptr);
      EXPECT_EQ(ImageAuroc(row)->mean, average.values[0]->mean);
      EXPECT_EQ(ImageAuroc(row)->deviation, average.values[0]->deviation);
      EXPECT_GT(row->image_seconds, 0);
      EXPECT_EQ(row->service_auroc.has_value(), entry == 0);
    }
  }
  const Compared* mean = Find(*comparison, std::nullopt, 0, 2);
  ASSERT_NE(mean, nullptr);
  EXPECT_DOUBLE_EQ(ImageAuroc(mean)->mean, (ImageAuroc(Find(*comparison, 0, 0, 2))->mean +
                                            ImageAuroc(Find(*comparison, 1, 0, 2))->mean) /
                                               2);
  // Of what one set has no masks for there is the other's alone.
  EXPECT_EQ(mean->values[static_cast<size_t>(Column::kPixelAuroc)]->mean,
            Find(*comparison, 0, 0, 2)->values[static_cast<size_t>(Column::kPixelAuroc)]->mean);
  EXPECT_EQ(Find(*comparison, 0, 1, 0), nullptr);  // SPADE without references
}

TEST_F(CompareTest, says_what_is_missing_and_why) {
  const auto comparison = Compare(options_);
  ASSERT_TRUE(comparison.ok()) << comparison.status();
  const std::vector<std::string> lines = MissingLines(*comparison);
  EXPECT_THAT(lines, SizeIs(4));
  EXPECT_THAT(lines, testing::Contains(testing::StartsWith(
                         "not compared: linear, first: april-gan needs a model with linear")));
  EXPECT_THAT(lines, testing::Contains(
                         testing::StartsWith("not compared: spade, two, no references: spade")));
}

TEST_F(CompareTest, lays_out_tables_page_and_files_alike) {
  const auto comparison = Compare(options_);
  ASSERT_TRUE(comparison.ok()) << comparison.status();
  const std::vector<Table> tables = MakeTables(*comparison);
  // A table for each number of references, methods by set, then each set and the mean.
  ASSERT_THAT(tables, SizeIs(2 + 1 + 3));
  EXPECT_THAT(tables[0].head, ElementsAre("", "ours"));
  EXPECT_THAT(tables[1].head, ElementsAre("", "ours", "spade"));
  EXPECT_THAT(tables[1].rows, SizeIs(4 * 3));
  EXPECT_EQ(tables[1].rows[0][0], "image AUROC, first");
  EXPECT_EQ(tables[1].rows[0][1], ToText(ImageAuroc(Find(*comparison, 0, 0, 2))));
  EXPECT_EQ(tables[1].rows[7][1], "n/a") << tables[1].rows[7][0];  // pixel AUROC of the second
  for (const Table& table : tables) {
    for (const auto& row : table.rows) EXPECT_EQ(row.size(), table.head.size()) << table.title;
  }
  const std::vector<std::string> csv = absl::StrSplit(ToCsv(*comparison), '\n');
  EXPECT_THAT(csv, SizeIs(1 + comparison->rows.size() + 1));
  for (const std::string& line : csv) {
    if (!line.empty()) {
      EXPECT_EQ(std::count(line.begin(), line.end(), ','), 4 + 10 + 3) << line;
    }
  }
  const auto json = nlohmann::json::parse(ToJson(*comparison));
  EXPECT_EQ(json["rows"].size(), comparison->rows.size());
  EXPECT_EQ(json["runs"].size(), 2U);
  EXPECT_TRUE(json["rows"].back()["data"].is_null());
  const std::string html = ToHtml(*comparison);
  EXPECT_THAT(html, HasSubstr("Image AUROC, first"));
  EXPECT_THAT(html, HasSubstr("Time an image takes, 2 references"));
  EXPECT_THAT(html, testing::Not(HasSubstr("http")));
}

TEST_F(CompareTest, refuses_names_that_occur_twice) {
  options_.entries[1].label = "ours";
  EXPECT_THAT(Compare(options_).status().message(), HasSubstr("entry 'ours' occurs twice"));
  options_.entries = {};
  EXPECT_TRUE(absl::IsInvalidArgument(Compare(options_).status()));
}

TEST(CompareNamesTest, are_read_or_refused) {
  EXPECT_EQ(ParseData("a/b/tiles/")->name, "tiles");
  EXPECT_EQ(ParseData("x=a=b")->folder, "a=b");
  EXPECT_TRUE(absl::IsInvalidArgument(ParseData("x=").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ParseData("").status()));
  const Entry entry = *ParseEntry("Linear, fixed=april-gan@models/a=b@c", "default");
  EXPECT_EQ(entry.label, "Linear, fixed");
  EXPECT_EQ(entry.method, "april-gan");
  EXPECT_EQ(entry.model, "models/a=b@c");
  EXPECT_EQ(ParseEntry("a=hfwa", "default")->model, "default");
  EXPECT_TRUE(absl::IsInvalidArgument(ParseEntry("hfwa@m", "default").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ParseEntry("a=hfwa", "").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ParseEntry("a=@m", "").status()));
}

}  // namespace
}  // namespace hfwa::lab
