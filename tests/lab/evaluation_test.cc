#include "lab/eval/evaluation.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "core/engine/maps.h"
#include "core/image/mask.h"
#include "lab/data/load.h"
#include "lab/eval/features.h"
#include "lab/eval/hfwa_method.h"
#include "lab/metrics/pixel_meter.h"
#include "lab/metrics/score_metrics.h"
#include "tests/lab/scratch.h"

namespace hfwa::lab {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int kSide = 56;

void PaintSquare(std::vector<uint8_t>& pixels, size_t side, uint8_t value) {
  for (size_t y = 10; y < 10 + side; ++y) {
    for (size_t x = 20; x < 20 + side; ++x) pixels[y * kSide + x] = value;
  }
}

// Noise; with a white square of this side in it.
std::vector<uint8_t> Texture(uint32_t seed, size_t square) {
  std::mt19937 random(seed);
  std::vector<uint8_t> pixels(size_t{kSide} * kSide);
  for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(100 + random() % 40);
  PaintSquare(pixels, square, 255);
  return pixels;
}
std::vector<uint8_t> SquareMask(size_t square) {
  std::vector<uint8_t> pixels(size_t{kSide} * kSide);
  PaintSquare(pixels, square, 1);
  return pixels;
}

// Squares of 0.2 %, 0.8 %, 5.1 % and 18 % of the image.
constexpr size_t kSquares[] = {2, 5, 13, 24};

// Two classes in MVTec's folders: 4 normal images to train with, 4 good and 4 defective ones.
class EvaluationTest : public testing::Test {
 protected:
  EvaluationTest() {
    at::set_num_threads(1);
    uint32_t seed = 0;
    for (const char* name : {"cloth", "wood"}) {
      for (int i = 0; i < 4; ++i) {
        Write(absl::StrCat(name, "/train/good/", i), Texture(++seed, 0));
        Write(absl::StrCat(name, "/test/good/", i), Texture(++seed, 0));
        Write(absl::StrCat(name, "/test/spot/", i), Texture(++seed, kSquares[i]));
        Write(absl::StrCat(name, "/ground_truth/spot/", i, "_mask"), SquareMask(kSquares[i]));
      }
    }
    options_.data = folder_.root();
    options_.model = HFWA_SEEDED_MODEL;
    options_.shots = {1};
    options_.seeds = 1;
  }
  void Write(const std::string& name, const std::vector<uint8_t>& pixels) {
    folder_.WriteGrey(name + ".png", kSide, kSide, pixels);
  }

  static std::vector<std::string> Texts(const EvaluationResult& result) {
    std::vector<std::string> texts;
    for (const Problem& problem : result.problems) texts.push_back(ToString(problem));
    return texts;
  }

  Scratch folder_;
  EvaluationOptions options_;
};

const Subset& Part(const Measurement& of, const std::string& name) {
  for (const Subset& subset : of.subsets) {
    if (subset.name == name) return subset;
  }
  ADD_FAILURE() << "no subset " << name;
  return of.subsets.front();
}

TEST_F(EvaluationTest, measures_what_the_parts_give_by_hand) {
  options_.classes = {"wood"};
  options_.shots = {2};
  const auto result = Evaluate(options_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(Texts(*result), IsEmpty());
  ASSERT_THAT(result->measurements, SizeIs(1));
  const Measurement& got = result->measurements[0];
  ASSERT_THAT(got.references, SizeIs(2));

  // The same without the program: references, maps, metrics.
  const auto hfwa = *model::Hfwa::Create(*model::ReadModelDirectory(options_.model), options_.hfwa);
  const DataSet set = *ReadDataSet(folder_.root());
  const auto encode = [&](const Item& item) {
    return *Encode(*hfwa, ToModelInput(*LoadPicture(set, item), hfwa->config()), "wood");
  };
  std::vector<at::Tensor> bank;
  for (const Item& item : set.classes[1].train) {
    if (std::find(got.references.begin(), got.references.end(), item.image) !=
        got.references.end()) {
      bank.push_back(encode(item).tokens);
    }
  }
  PixelMeter meter({.scratch = ""});
  std::vector<float> maxima, probabilities;
  std::vector<double> tops;
  std::vector<uint8_t> labels;
  for (const Item& item : set.classes[1].test) {
    const Features features = encode(item);
    const at::Tensor rows = at::cat(bank, 1);
    const int64_t grid = hfwa->config().vision.grid();
    const at::Tensor few = (1 - at::matmul(features.tokens, rows.transpose(1, 2)).amax(2))
                               .view({features.tokens.size(0), grid, grid});
    const at::Tensor map = engine::CombinedMap(hfwa->config(), features.language_diff, few);
    maxima.push_back(map.max().item<float>());
    // A hundredth of this grid is its largest patch.
    tops.push_back(few.sum(0).max().item<double>());
    probabilities.push_back(*features.probability);
    labels.push_back(item.anomalous ? 1 : 0);
    image::Mask mask = ResizeMask(*LoadMask(set, item, *LoadPicture(set, item)), kSide);
    for (uint8_t& value : mask.values) value = value >= image::kEvaluationMaskMin ? 1 : 0;
    ASSERT_TRUE(meter
                    .Add({map.const_data_ptr<float>(), static_cast<size_t>(map.numel())},
                         mask.values, kSide, kSide)
                    .ok());
  }
  const PixelMetrics pixels = *meter.Finish();
  const Subset& all = got.subsets.front();
  EXPECT_NEAR(all.pixels.ranking.auroc.value, pixels.ranking.auroc.value, 1e-4);
  EXPECT_NEAR(all.pixels.ranking.ap.value, pixels.ranking.ap.value, 1e-3);
  EXPECT_NEAR(all.pixels.ranking.aupro.value, pixels.ranking.aupro.value, 1e-3);
  EXPECT_NEAR(all.pixels.aupro_sowa.value, pixels.aupro_reference.value, 1e-3);
  const SetScores scores = ScaleOverSet(maxima, probabilities);
  const Ranking images = RankScores(scores.scores, labels);
  EXPECT_DOUBLE_EQ(all.images[0].ranking.auroc.value, images.auroc.value);
  for (size_t i = 0; i < got.scores.size(); ++i) {
    EXPECT_NEAR(got.scores[i].score, scores.scores[i], 1e-4);
  }
  EXPECT_EQ(all.images[2].scoring, "top1");
  EXPECT_DOUBLE_EQ(all.images[2].ranking.auroc.value, RankScores(tops, labels).auroc.value);
}

TEST_F(EvaluationTest, splits_defects_by_size_and_maps_by_level) {
  const auto result = Evaluate(options_);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_THAT(result->measurements, SizeIs(2));
  const Measurement& got = result->measurements[0];
  for (const char* name : {"size <0.5%", "size <1%", "size <=10%", "size >10%"}) {
    EXPECT_EQ(Part(got, name).defects, 1) << name;
    EXPECT_EQ(Part(got, name).good, 4) << name;
    EXPECT_EQ(Part(got, name).pixels.images, 5) << name;
  }
  EXPECT_EQ(Part(got, "level H1").defects, 4);
  EXPECT_NE(Part(got, "level H1").pixels.ranking.auroc.value,
            Part(got, "level H2").pixels.ranking.auroc.value);
  EXPECT_THAT(Part(got, "level H1").images, SizeIs(1));
  ASSERT_THAT(Part(got, "all").images, SizeIs(3));
  EXPECT_EQ(Part(got, "all").images[0].scoring, "paper");
  EXPECT_FALSE(Part(got, "all").images[0].good_called_anomalous.defined());
  EXPECT_EQ(Part(got, "all").images[1].scoring, "service");
  EXPECT_TRUE(Part(got, "all").images[1].good_called_anomalous.defined());
  EXPECT_EQ(Part(got, "all").images[2].scoring, "top1");
}

TEST_F(EvaluationTest, keeps_a_coreset_of_the_references_where_asked_to) {
  const auto all = Evaluate(options_);
  options_.coreset_ratio = 0.1;
  const auto some = Evaluate(options_);
  ASSERT_TRUE(all.ok() && some.ok()) << all.status() << some.status();
  // Fewer rows to be near to: no image comes nearer, some go farther away.
  float nearest = 0, farthest = 0;
  for (size_t i = 0; i < all->measurements.size(); ++i) {
    EXPECT_EQ(all->measurements[i].references, some->measurements[i].references);
    nearest += all->measurements[i].map_high;
    farthest += some->measurements[i].map_high;
  }
  EXPECT_GT(farthest, nearest);
}

TEST_F(EvaluationTest, splits_defects_by_kind) {
  for (int i = 0; i < 2; ++i) Write(absl::StrCat("wood/test/hole/", i), Texture(90 + i, 30));
  options_.classes = {"cloth", "wood"};
  const auto result = Evaluate(options_);
  ASSERT_TRUE(result.ok()) << result.status();
  const Measurement& wood = result->measurements[1];
  EXPECT_EQ(Part(wood, "kind spot").defects, 4);
  EXPECT_EQ(Part(wood, "kind hole").defects, 2);
  EXPECT_EQ(Part(wood, "kind hole").good, 4);
  EXPECT_THAT(Part(wood, "kind hole").pixels.ranking.auroc.undefined, "not by kind of defect");
  // Pairs of a good and a defective one, counted.
  std::vector<double> good, holes;
  for (const ImageScore& score : wood.scores) {
    const Item& item = ReadDataSet(folder_.root())->classes[1].test[score.item];
    if (!item.anomalous) good.push_back(score.score);
    if (item.kind == "hole") holes.push_back(score.score);
  }
  double won = 0;
  for (const double g : good) {
    for (const double h : holes) won += h > g ? 1 : h == g ? 0.5 : 0;
  }
  EXPECT_DOUBLE_EQ(Part(wood, "kind hole").images[0].ranking.auroc.value, won / 8);
  // With one kind alone there is nothing to split.
  for (const Subset& subset : result->measurements[0].subsets) {
    EXPECT_THAT(subset.name, testing::Not(testing::StartsWith("kind")));
  }
}

TEST_F(EvaluationTest, gives_the_same_numbers_with_tokens_in_a_file) {
  options_.shots = {0, 1, 2};
  options_.seeds = 2;
  const auto memory = Evaluate(options_);
  options_.feature_memory_bytes = 0;
  const auto file = Evaluate(options_);
  ASSERT_TRUE(memory.ok() && file.ok()) << memory.status() << file.status();
  // Of each class: zero-shot once, the others by each seed.
  ASSERT_THAT(memory->measurements, SizeIs(2 * 5));
  for (size_t i = 0; i < memory->measurements.size(); ++i) {
    EXPECT_EQ(memory->measurements[i].references, file->measurements[i].references);
    EXPECT_EQ(memory->measurements[i].subsets[0].pixels.ranking.auroc.value,
              file->measurements[i].subsets[0].pixels.ranking.auroc.value);
  }
  EXPECT_NE(memory->measurements[1].references, memory->measurements[2].references);
  EXPECT_THAT(memory->measurements[0].references, IsEmpty());
}

TEST_F(EvaluationTest, takes_references_from_a_list) {
  folder_.Write("list.txt",
                "wood/train/good/3.png\ncloth/train/good/1.png\nwood/train/good/0.png\n");
  options_.references = folder_.path("list.txt");
  options_.shots = {1, 2};
  options_.seeds = 5;
  const auto result = Evaluate(options_);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_THAT(result->measurements, SizeIs(4));
  EXPECT_THAT(result->measurements[0].references, ElementsAre("cloth/train/good/1.png"));
  EXPECT_THAT(result->measurements[2].references, ElementsAre("wood/train/good/3.png"));
  EXPECT_THAT(result->measurements[3].references,
              ElementsAre("wood/train/good/3.png", "wood/train/good/0.png"));
  EXPECT_THAT(Texts(*result), Contains("cloth: has 1 references where 2 were asked for"));
}

TEST_F(EvaluationTest, stops_at_a_bad_file_or_goes_on_without) {
  folder_.Write("wood/test/good/1.png", "no picture");
  folder_.WriteGrey("wood/ground_truth/spot/2_mask.png", 4, 4, std::vector<uint8_t>(16, 1));
  Write("wood/test/spot/9", Texture(1, 0));  // cloth's 0 is another class: no duplicate
  std::filesystem::copy_file(folder_.path("wood/test/spot/3.png"),
                             folder_.path("wood/test/spot/4.png"));
  const auto stopped = Evaluate(options_);
  EXPECT_TRUE(absl::IsInvalidArgument(stopped.status())) << stopped.status();
  EXPECT_THAT(stopped.status().message(), HasSubstr("wood/test/spot/4.png"));

  options_.on_bad_input = OnBadInput::kSkip;
  const auto result = Evaluate(options_);
  ASSERT_TRUE(result.ok()) << result.status();
  const std::vector<std::string> texts = Texts(*result);
  EXPECT_THAT(texts, Contains("wood/test/spot/4.png: is the same picture as "
                              "wood/test/spot/3.png (left out)"));
  EXPECT_THAT(texts, Contains(testing::StartsWith("wood/test/good/1.png: ")));
  EXPECT_THAT(texts, Contains("wood/test/spot/2.png: mask wood/ground_truth/spot/2_mask.png is "
                              "4x4, the image 56x56 (its mask is left out)"));
  EXPECT_THAT(texts, Contains("wood/test/spot/9.png: shows a defect and has no mask"));
  const Subset& wood = result->measurements[1].subsets[0];
  EXPECT_EQ(wood.good, 3);
  EXPECT_EQ(wood.defects, 5);
  EXPECT_EQ(wood.pixels.images, 6);  // without the two whose defect is not known
  EXPECT_EQ(result->measurements[0].subsets[0].good, 4);
}

TEST_F(EvaluationTest, says_why_a_metric_is_not_there) {
  std::filesystem::remove_all(folder_.path("wood/test/spot"));
  std::filesystem::remove_all(folder_.path("cloth/ground_truth"));
  const auto result = Evaluate(options_);
  ASSERT_TRUE(result.ok()) << result.status();
  const Subset& cloth = result->measurements[0].subsets[0];
  EXPECT_TRUE(cloth.images[0].ranking.auroc.defined());
  EXPECT_EQ(cloth.pixels.ranking.auroc.undefined, "no masks");
  EXPECT_EQ(cloth.pixels.aupro_sowa.undefined, "no masks");
  const Subset& wood = result->measurements[1].subsets[0];
  EXPECT_EQ(wood.images[0].ranking.auroc.undefined, "nothing anomalous");
  EXPECT_THAT(Texts(*result), Contains("cloth: has no masks"));
}

TEST_F(EvaluationTest, names_images_that_are_defect_all_over_and_masks_of_nothing) {
  Write("wood/ground_truth/spot/0_mask", std::vector<uint8_t>(size_t{kSide} * kSide, 255));
  Write("wood/ground_truth/spot/1_mask", std::vector<uint8_t>(size_t{kSide} * kSide, 0));
  const auto result = Evaluate(options_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(Texts(*result), ElementsAre("wood/test/spot/0.png: is defect all over: it has no "
                                          "false positive rate",
                                          "wood/test/spot/1.png: its mask shows no defect at "
                                          "56x56"));
}

TEST_F(EvaluationTest, goes_on_without_a_reference_that_cannot_be_read) {
  for (int i = 0; i < 4; ++i) folder_.Write(absl::StrCat("wood/train/good/", i, ".png"), "none");
  options_.on_bad_input = OnBadInput::kSkip;
  const auto result = Evaluate(options_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->measurements[0].missing.empty());
  EXPECT_EQ(result->measurements[1].missing, "there is no normal image to refer to");
  EXPECT_THAT(result->measurements[1].subsets, IsEmpty());
}

TEST_F(EvaluationTest, draws_best_and_worst_images) {
  options_.pictures = 1;
  options_.curve_points = 100;
  options_.shots = {1, 2};
  const auto result = Evaluate(options_);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_THAT(result->pictures, SizeIs(2));
  const ClassPictures& pictures = result->pictures[0];
  EXPECT_EQ(pictures.shots, 2);
  ASSERT_THAT(pictures.missed, SizeIs(1));
  ASSERT_THAT(pictures.found, SizeIs(1));
  EXPECT_LE(pictures.missed[0].score, pictures.found[0].score);
  EXPECT_GE(pictures.false_alarm[0].score, pictures.passed[0].score);
  EXPECT_FALSE(pictures.missed[0].mask_png.empty());
  EXPECT_TRUE(pictures.passed[0].mask_png.empty());
  EXPECT_EQ(pictures.found[0].overlay_jpeg.substr(0, 2), "\xFF\xD8");
}

TEST_F(EvaluationTest, refuses_options_that_make_no_sense) {
  const auto refused = [&](const auto& change) {
    EvaluationOptions options = options_;
    change(options);
    return absl::IsInvalidArgument(Evaluate(options).status());
  };
  EXPECT_TRUE(refused([](EvaluationOptions& o) { o.shots = {}; }));
  EXPECT_TRUE(refused([](EvaluationOptions& o) { o.shots = {-1}; }));
  EXPECT_TRUE(refused([](EvaluationOptions& o) { o.shots = {1, 1}; }));
  EXPECT_TRUE(refused([](EvaluationOptions& o) { o.seeds = 0; }));
  EXPECT_TRUE(refused([](EvaluationOptions& o) { o.coreset_ratio = 0; }));
  EXPECT_TRUE(refused([](EvaluationOptions& o) { o.coreset_ratio = 1.5; }));
  EXPECT_TRUE(refused([](EvaluationOptions& o) { o.methods = {"other"}; }));
  EXPECT_TRUE(refused([](EvaluationOptions& o) { o.classes = {"glass"}; }));
}

}  // namespace
}  // namespace hfwa::lab
