// InCTRL from files to networks to scores.

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/model/hfwa.h"
#include "core/model/maps.h"
#include "lab/eval/clip_views.h"
#include "lab/eval/evaluation.h"
#include "lab/eval/method.h"
#include "lab/eval/prompt_ensemble.h"
#include "lab/learnt_file.h"
#include "lab/train/trainer.h"
#include "tests/lab/train/plain_inctrl.h"
#include "tests/lab/train/run_trainer.h"
#include "tests/lab/train/world.h"

namespace hfwa::lab::train {
namespace {

using ::testing::HasSubstr;

// A seeded model whose text tower is long enough for the fixed prompts, and made-up pictures with
// good ones to train with.
class InctrlRun : public ::testing::Test {
 protected:
  InctrlRun() : model_(NewModel()), data_(Data(4, 5, "data")) {}

  std::string NewModel(nlohmann::json changes = nlohmann::json::object()) {
    changes["text"]["context_length"] = 77;
    return world_.Model(changes);
  }
  std::string Data(int good, int bad, const std::string& name) {
    const std::string folder = world_.Data(good, bad, name);
    for (int i = 0; i < 4; ++i) {
      std::vector<uint8_t> picture;
      for (int y = 0; y < 40; ++y) {
        for (int x = 0; x < 60; ++x)
          picture.push_back(static_cast<uint8_t>(((x + 3 * i + 1) % 12 < 6 ? 90 : 150) + y % 5));
      }
      world_.scratch().WriteGrey(absl::StrCat(name, "/bolt/train/good/r", i, ".png"), 60, 40,
                                 picture);
    }
    return folder;
  }
  TrainOptions Options(const std::string& out) {
    TrainOptions options = DefaultsOf(TrainMethod::kInctrl);
    options.model = model_;
    options.data = data_;
    options.out = world_.scratch().path(out);
    options.batch = 4;
    options.epochs = 3;
    return options;
  }
  static std::string Over(const std::string& folder) {
    const auto frozen = model::ReadFrozenModel(folder);
    return LearntOver(frozen->config, frozen->digest);
  }
  static std::string Bytes(const std::string& folder, const std::string& name) {
    return *ReadFile(folder + "/" + name);
  }

  World world_;
  const std::string model_, data_;
};

TEST_F(InctrlRun, learns_and_leaves_the_model_as_it_was) {
  const auto trainer = RunTrainer(Options("out"));
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  const auto& epochs = (*trainer)->epochs();
  ASSERT_EQ(epochs.size(), 3U);
  EXPECT_LT(epochs[2].losses.total, epochs[0].losses.total);
  const std::string out = world_.scratch().path("out");
  // A server sees the model that it saw before.
  const auto before = model::ReadModelDirectory(model_), after = model::ReadModelDirectory(out);
  ASSERT_TRUE(before.ok() && after.ok()) << after.status();
  EXPECT_EQ(before->digest, after->digest);
  EXPECT_TRUE(model::Hfwa::Create(*after, {}).ok());
  const auto learnt = ReadLearntFile(out, "inctrl", Over(out));
  ASSERT_TRUE(learnt.ok()) << learnt.status();
  const Tensors initial = Inctrl::Initial(after->config, Options("").samples.seed);
  for (const auto& [name, tensor] : initial)
    EXPECT_FALSE(at::equal(tensor, learnt->at(name))) << name;
  const std::string card = Bytes(out, "MODEL_CARD.md");
  EXPECT_THAT(card, HasSubstr("| variant | inctrl |"));
  EXPECT_THAT(Bytes(out, "training/steps.csv"),
              HasSubstr("step,epoch,learning_rate,loss,holistic,image\n"));
}

TEST_F(InctrlRun, repeats_to_the_bit_and_goes_on_where_it_stopped) {
  ASSERT_TRUE(RunTrainer(Options("whole")).ok());
  TrainOptions again = Options("again");
  again.loader_threads = 1;
  again.cache = world_.scratch().path("cache");
  ASSERT_TRUE(RunTrainer(again).ok());
  TrainOptions parts = Options("parts");
  parts.epochs = 1;
  ASSERT_TRUE(RunTrainer(parts).ok());
  parts.epochs = 3;
  parts.resume = true;
  parts.samples.references = 1;
  EXPECT_THAT(RunTrainer(parts).status().message(), HasSubstr("references"));
  parts.samples.references = 2;
  ASSERT_TRUE(RunTrainer(parts).ok());
  const std::string whole = Bytes(world_.scratch().path("whole"), "training/last.safetensors");
  EXPECT_EQ(whole, Bytes(again.out, "training/last.safetensors"));
  EXPECT_EQ(whole, Bytes(parts.out, "training/last.safetensors"));
  TrainOptions other = Options("other");
  other.samples.seed = 7;
  ASSERT_TRUE(RunTrainer(other).ok());
  EXPECT_NE(whole, Bytes(other.out, "training/last.safetensors"));
}

TEST_F(InctrlRun, later_epochs_never_enter_the_backbone_with_a_cache) {
  TrainOptions options = Options("out");
  options.cache = world_.scratch().path("cache");
  options.samples.references = 5;  // all there are
  const auto trainer = RunTrainer(options);
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  EXPECT_GE((*trainer)->epochs()[0].backbone_images, 9 + 5);
  EXPECT_EQ((*trainer)->epochs()[1].backbone_images, 0);
}

TEST_F(InctrlRun, takes_along_what_was_learnt_before) {
  const TrainOptions first = Options("first");
  ASSERT_TRUE(RunTrainer(first).ok());
  TrainOptions hfwa = world_.Options("second", first.out, data_);
  ASSERT_TRUE(RunTrainer(hfwa).ok());
  EXPECT_EQ(Bytes(first.out, "inctrl.safetensors"), Bytes(hfwa.out, "inctrl.safetensors"));
}

TEST_F(InctrlRun, refuses_what_it_cannot_learn_from) {
  TrainOptions options = Options("out");
  options.variant.adapter = "linear";
  EXPECT_THAT(RunTrainer(options).status().message(), HasSubstr("without variants"));
  options = Options("out");
  options.model = NewModel({{"visual_encoder", {{"type", "residual"}}}});
  EXPECT_THAT(RunTrainer(options).status().message(), HasSubstr("residual encoder"));
  options.model = NewModel();
  std::filesystem::remove(options.model + "/learned.safetensors");
  EXPECT_THAT(RunTrainer(options).status().message(), HasSubstr("learned.safetensors"));
  options = Options("out");
  std::filesystem::remove_all(data_ + "/bolt/train/good");
  EXPECT_THAT(RunTrainer(options).status().message(),
              HasSubstr("bolt: has 0 normal training images"));
}

TEST_F(InctrlRun, a_file_of_another_backbone_is_refused_and_an_absent_one_says_what_makes_it) {
  const auto files = model::ReadModelDirectory(model_);
  ASSERT_TRUE(files.ok());
  const std::string over = Over(model_);
  EXPECT_THAT(ReadLearntFile(model_, "inctrl", over).status().message(),
              HasSubstr("hfwa-train --method inctrl"));
  EXPECT_TRUE(absl::IsFailedPrecondition(ReadLearntFile(model_, "inctrl", over).status()));
  ASSERT_TRUE(RunTrainer(Options("out")).ok());
  EXPECT_TRUE(ReadLearntFile(world_.scratch().path("out"), "inctrl", over).ok());
  // Other taps over the same weights, and other weights.
  model::ModelConfig other = files->config;
  other.taps = {0, 1, 2, 4};
  for (const std::string& wrong : {LearntOver(other, model::ReadFrozenModel(model_)->digest),
                                   LearntOver(files->config, std::string(64, '0'))}) {
    const auto read = ReadLearntFile(world_.scratch().path("out"), "inctrl", wrong);
    EXPECT_TRUE(absl::IsFailedPrecondition(read.status()));
    EXPECT_THAT(read.status().message(), HasSubstr("another backbone"));
  }
}

TEST_F(InctrlRun, references_are_distinct_good_pictures_of_the_class_and_never_the_query) {
  const auto set = ReadDataSet(data_);
  const auto files = model::ReadModelDirectory(model_);
  ASSERT_TRUE(set.ok() && files.ok());
  SampleOptions options;
  options.mosaic_rate = 0;
  options.masks = false;
  options.references = 3;
  options.train_split = true;
  const auto samples = Samples::Create(*set, files->config, options, nullptr);
  ASSERT_TRUE(samples.ok()) << samples.status();
  std::set<std::string> seen;
  for (int64_t item = 0; item < (*samples)->size(); ++item) {
    const auto sample = (*samples)->Make(1, item, item);
    ASSERT_TRUE(sample.ok()) << sample.status();
    EXPECT_FALSE(sample->mask.defined());
    std::set<std::string> own;
    for (const Sample& reference : sample->references) {
      EXPECT_THAT(reference.file, HasSubstr("train/good"));
      EXPECT_NE(reference.file, sample->file);
      EXPECT_TRUE(reference.image.defined());
      own.insert(reference.file);
    }
    EXPECT_EQ(own.size(), 3U);
    seen.insert(own.begin(), own.end());
    // The same place draws the same, another epoch others in the end.
    EXPECT_EQ((*samples)->Make(1, item, item)->references[0].file, sample->references[0].file);
  }
  EXPECT_EQ(seen.size(), 5U);
}

// Pictures that it did not learn from, by the whole way from files to numbers.
TEST_F(InctrlRun, a_defect_in_new_pictures_scores_higher_after_training) {
  TrainOptions training = Options("out");
  training.epochs = 12;
  training.evaluate = {Data(4, 8, "new")};
  const auto trainer = RunTrainer(training);
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  EXPECT_THAT(Bytes(training.out, "MODEL_CARD.md"), HasSubstr("With 2 references, in percent"));
  EvaluationOptions options;
  options.data = training.evaluate[0];
  options.model = training.out;
  options.methods = {"inctrl"};
  options.shots = {0, 1, 4};
  options.seeds = 1;
  const auto result = Evaluate(options);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->measurements.size(), 3U);
  EXPECT_THAT(result->measurements[0].missing, HasSubstr("references"));
  for (int i = 1; i < 3; ++i) {
    const auto& images = result->measurements[i].subsets.front().images.front();
    EXPECT_GT(images.ranking.auroc.value, 0.9) << i;
  }
}

TEST_F(InctrlRun, the_method_scores_by_the_learnt_networks) {
  ASSERT_TRUE(RunTrainer(Options("out")).ok());
  const std::string out = world_.scratch().path("out");
  const model::ModelFiles files = *model::ReadModelDirectory(out);
  const auto hfwa = *model::Hfwa::Create(files, {});
  const LoadedModel loaded = {.hfwa = *hfwa, .files = files, .directory = out};
  const auto method = MakeMethod("inctrl", loaded);
  ASSERT_TRUE(method.ok()) << method.status();
  const auto see = [&](int number) {
    const at::Tensor input =
        SeededImage(absl::StrCat("image.", number), files.config.vision.image_size, 3, number > 2)
            .unsqueeze(0);
    lab::Features features = *Encode(*hfwa, input, "bolt");
    for (const View* view : (*method)->views()) {
      features.views[view->name()] =
          *view->Look({.picture = {}, .model_input = input, .class_name = "bolt"});
    }
    return features;
  };
  const References references = {.images = {see(0), see(1)}, .class_name = "bolt", .seed = 0};
  const auto detector = (*method)->Fit(references);
  ASSERT_TRUE(detector.ok()) << detector.status();
  const lab::Features image = see(3);
  const auto judgement = (*detector)->Judge(image, false);
  ASSERT_TRUE(judgement.ok()) << judgement.status();

  // The same by the plain formulas, from tokens and features.
  const auto feature = [](const lab::Features& of) {
    return ImageFeatureOf(of.views.at(TowerTokensView::kName));
  };
  InctrlInput input;
  at::Tensor map = at::zeros({files.config.vision.patches()});
  for (int level = 0; level < files.config.levels(); ++level) {
    for (int64_t p = 0; p < map.numel(); ++p) {
      double best = -1;
      for (const lab::Features& reference : references.images) {
        for (int64_t q = 0; q < map.numel(); ++q)
          best = std::max(
              best, at::dot(image.tokens[level][p], reference.tokens[level][q]).item<double>());
      }
      map[p] += (1 - best) / files.config.levels();
    }
  }
  input.residuals = map.unsqueeze(0);
  input.features = feature(image).unsqueeze(0);
  input.references = {at::stack({feature(references.images[0]), feature(references.images[1])})};
  const auto ensemble =
      *PromptEnsemble::Create(files.config, files.weights, files.merges, "inctrl");
  input.prior = TextPrior(input.features, ensemble->Pair("bolt")->unsqueeze(0));
  const auto learnt = *ReadLearntFile(out, "inctrl", Over(out));
  const PlainInctrl::Scores expected = PlainInctrl(learnt).Run(input, false);
  EXPECT_NEAR(*judgement->raw.image, expected.score[0], 1e-5);
  const int64_t grid = files.config.vision.grid();
  const at::Tensor filtered = model::GaussianFilter(
      model::UpsampleMaps(map.view({1, grid, grid}), files.config.map_size), 4)[0];
  EXPECT_LT((judgement->map - filtered).abs().max().item<double>(), 1e-5);

  // The wrong directory: absent, or of another backbone.
  const auto absent = MakeMethod("inctrl", {.hfwa = *hfwa, .files = files, .directory = model_});
  EXPECT_TRUE(absl::IsFailedPrecondition(absent.status()));
  EXPECT_THAT(absent.status().message(), HasSubstr("hfwa-train --method inctrl"));
  const std::string other = NewModel({{"taps", {0, 1, 2, 4}}});
  std::filesystem::copy(out + "/inctrl.safetensors", other + "/inctrl.safetensors");
  const model::ModelFiles other_files = *model::ReadModelDirectory(other);
  const auto other_hfwa = *model::Hfwa::Create(other_files, {});
  const auto wrong =
      MakeMethod("inctrl", {.hfwa = *other_hfwa, .files = other_files, .directory = other});
  EXPECT_TRUE(absl::IsFailedPrecondition(wrong.status()));
  EXPECT_THAT(wrong.status().message(), HasSubstr("another backbone"));
}

}  // namespace
}  // namespace hfwa::lab::train
