// Whole runs: what is written is what was trained, and runs repeat to the bit.

#include "lab/train/trainer.h"

#include <cmath>
#include <filesystem>
#include <sstream>
#include <string>
#include <tuple>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/model/hfwa.h"
#include "core/model/safetensors.h"
#include "lab/data/load.h"
#include "tests/lab/train/run_trainer.h"
#include "tests/lab/train/world.h"

namespace hfwa::lab::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensors Learnt(const TrainOptions& options) {
  return *model::ReadAllTensors(options.out + "/learned.safetensors");
}
Tensors Last(const TrainOptions& options) {
  return *model::ReadAllTensors(options.out + "/training/last.safetensors");
}

void ExpectSameBits(const Tensors& a, const Tensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
}

// Largest difference between what the trained directory serves and what training computes from the
// directory's own tensors.
void ExpectServedAsTrained(const TrainOptions& options) {
  const auto files = model::ReadModelDirectory(options.out);
  ASSERT_TRUE(files.ok()) << files.status();
  const model::ModelConfig config = files->config;
  const auto tokens = model::TokenizePrompts(config, files->merges);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  const auto learnable = Learnable::Create(config, files->weights, Learnt(options), *tokens, {});
  ASSERT_TRUE(learnable.ok()) << learnable.status();
  const auto served = model::Hfwa::Create(*files, {});
  ASSERT_TRUE(served.ok()) << served.status();

  const auto set = ReadDataSet(options.data);
  ASSERT_TRUE(set.ok());
  const at::Tensor image = ToModelInput(*LoadPicture(*set, set->classes[0].test.back()), config);
  const at::Tensor classes = at::zeros({1}, at::kLong);
  absl::StatusOr<TrainForward> trained = absl::UnknownError("");
  if ((*learnable)->needs_images()) {
    trained = (*learnable)->ForwardImages(image, classes);
  } else {
    const auto backbone = Backbone::Create(config, files->weights, at::kCPU, at::kFloat);
    ASSERT_TRUE(backbone.ok());
    trained =
        (*learnable)
            ->Forward((*backbone)->Split((*backbone)->Compute(image[0]).unsqueeze(0)), classes);
  }
  ASSERT_TRUE(trained.ok()) << trained.status();
  const auto expected = (*served)->Forward(image, {0});
  ASSERT_TRUE(expected.ok()) << expected.status();
  const at::Tensor grids = at::stack(trained->grid_logits, 1);
  EXPECT_LT((trained->text_probs - expected->text_probs).abs().max().item<double>(), 2e-6);
  EXPECT_LT((grids - expected->language_diff).abs().max().item<double>(), 5e-6);
}

TEST(Trainer, learns_and_serves_what_it_trained) {
  World world;
  TrainOptions options = world.Options("out", world.Model(), world.Data(4, 5));
  std::filesystem::remove(options.model + "/learned.safetensors");  // a bare CLIP is enough
  options.epochs = 3;
  options.evaluate = {options.data};
  const auto trainer = RunTrainer(options);
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  const auto& epochs = (*trainer)->epochs();
  ASSERT_EQ(epochs.size(), 3U);
  EXPECT_LT(epochs[2].losses.total, epochs[0].losses.total);
  ExpectServedAsTrained(options);
  const std::string card = *ReadFile(options.out + "/MODEL_CARD.md");
  EXPECT_THAT(card, HasSubstr(model::ReadModelDirectory(options.out)->digest));
  EXPECT_THAT(card, HasSubstr("| images | 9, of them 5 anomalous (0 without a mask) |"));
  EXPECT_THAT(card, HasSubstr("pixel_auroc"));
}

// Adapter, prompts, shared, residual.
class Variants : public ::testing::TestWithParam<std::tuple<const char*, const char*, bool, bool>> {
};

TEST_P(Variants, train_and_serve_what_they_trained) {
  World world;
  const auto& [adapter, prompts, shared, residual] = GetParam();
  const std::string model =
      world.Model({{"text", {{"context_length", 77}}}, {"adapter", {{"depth", 2}, {"window", 4}}}});
  TrainOptions options = world.Options("out", model, world.Data(2, 2));
  options.variant.adapter = adapter;
  options.variant.prompts = prompts;
  options.variant.share_adapter = shared;
  options.variant.residual = residual;
  options.schedule.learning_rate = 1e-2;
  const auto trainer = RunTrainer(options);
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  ExpectServedAsTrained(options);
  // Everything that trains has moved.
  const auto config = *model::ParseModelConfig(*ReadFile(options.out + "/config.json"));
  const Tensors initial = InitialTensors(config, options.samples.seed), learnt = Learnt(options);
  ASSERT_EQ(initial.size(), learnt.size());
  for (const auto& [name, tensor] : learnt)
    EXPECT_FALSE(at::equal(tensor, initial.at(name))) << name;
}

INSTANTIATE_TEST_SUITE_P(All, Variants,
                         ::testing::Values(std::tuple("fwa", "learned", false, false),
                                           std::tuple("fwa", "template", false, false),
                                           std::tuple("fwa", "fixed", false, false),
                                           std::tuple("linear", "learned", false, false),
                                           std::tuple("linear", "fixed", false, false),
                                           std::tuple("linear", "learned", true, false),
                                           std::tuple("fwa", "learned", false, true),
                                           std::tuple("none", "learned", false, false),
                                           std::tuple("linear", "fixed", true, true)));

TEST(Trainer, value_tokens_train_contexts_alone_and_are_cached_apart) {
  World world;
  TrainOptions plain = world.Options("plain", world.Model(), world.Data(3, 3));
  plain.cache = world.scratch().path("cache");
  plain.variant.adapter = "none";
  ASSERT_TRUE(RunTrainer(plain).ok());
  TrainOptions options = plain;
  options.out = world.scratch().path("values");
  options.epochs = 3;
  options.variant.value_tokens = options.variant.no_text_linear = true;
  const auto trainer = RunTrainer(options);
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  const auto& epochs = (*trainer)->epochs();
  EXPECT_EQ(epochs[0].backbone_images, 6);  // the other run's features are of another path
  EXPECT_EQ(epochs[2].backbone_images, 0);
  EXPECT_LT(epochs[2].losses.total, epochs[0].losses.total);
  ExpectServedAsTrained(options);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : Learnt(options)) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("prompt_learner.ctx_neg", "prompt_learner.ctx_pos"));
  EXPECT_THAT(*ReadFile(options.out + "/MODEL_CARD.md"),
              HasSubstr("no adapters, learned prompts (1 normal, 1 anomaly states, 1 classes), "
                        "tokens of v-v attention"));
}

TEST(Trainer, refuses_a_variant_without_anything_to_learn) {
  World world;
  TrainOptions options = world.Options("out", world.Model(), world.Data(1, 1));
  options.variant.adapter = "none";
  options.variant.prompts = "fixed";
  options.variant.no_text_linear = true;
  EXPECT_TRUE(absl::IsInvalidArgument(RunTrainer(options).status()));
  options.variant = {};
  options.variant.residual = options.variant.value_tokens = true;
  EXPECT_TRUE(absl::IsInvalidArgument(RunTrainer(options).status()));
}

TEST(Trainer, a_run_repeats_to_the_bit) {
  World world;
  const std::string model = world.Model(), data = world.Data(4, 4);
  TrainOptions first = world.Options("first", model, data);
  first.epochs = 2;
  first.samples.mosaic_rate = 0.5;
  TrainOptions second = first;
  second.out = world.scratch().path("second");
  second.loader_threads = 1;
  ASSERT_TRUE(RunTrainer(first).ok());
  ASSERT_TRUE(RunTrainer(second).ok());
  ExpectSameBits(Last(first), Last(second));
  TrainOptions other = first;
  other.out = world.scratch().path("other");
  other.samples.seed = 1;
  ASSERT_TRUE(RunTrainer(other).ok());
  EXPECT_FALSE(at::equal(Last(first).at("prompt_learner.ctx_pos"),
                         Last(other).at("prompt_learner.ctx_pos")));
}

TEST(Trainer, a_longer_run_goes_on_from_a_shorter_one_to_the_bit) {
  World world;
  const std::string model = world.Model(), data = world.Data(4, 4);
  TrainOptions whole = world.Options("whole", model, data);
  whole.epochs = 3;
  ASSERT_TRUE(RunTrainer(whole).ok());
  TrainOptions parts = whole;
  parts.out = world.scratch().path("parts");
  parts.epochs = 1;
  ASSERT_TRUE(RunTrainer(parts).ok());
  parts.epochs = 3;
  EXPECT_THAT(RunTrainer(parts).status().message(), HasSubstr("holds a training run"));
  parts.resume = true;
  parts.schedule.learning_rate = 2e-3;
  EXPECT_THAT(RunTrainer(parts).status().message(), HasSubstr("learning_rate"));
  parts.schedule.learning_rate = whole.schedule.learning_rate;
  ASSERT_TRUE(RunTrainer(parts).ok());
  ExpectSameBits(Last(whole), Last(parts));
  ExpectSameBits(Learnt(whole), Learnt(parts));
}

// The same run elsewhere, with a cache.
TrainOptions WithCache(TrainOptions options, const World& world) {
  options.out = world.scratch().path("cached");
  options.cache = world.scratch().path("cache");
  return options;
}

TEST(Trainer, later_epochs_and_further_variants_never_enter_the_backbone) {
  World world;
  const std::string model = world.Model(), data = world.Data(4, 4);
  TrainOptions plain = world.Options("plain", model, data);
  plain.epochs = 2;
  ASSERT_TRUE(RunTrainer(plain).ok());
  TrainOptions cached = WithCache(plain, world);
  const auto first = RunTrainer(cached);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ((*first)->epochs()[0].backbone_images, 8);
  EXPECT_EQ((*first)->epochs()[1].backbone_images, 0);
  ExpectSameBits(Last(plain), Last(cached));

  TrainOptions variant = cached;
  variant.out = world.scratch().path("variant");
  variant.variant.adapter = "linear";
  const auto second = RunTrainer(variant);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ((*second)->epochs()[0].backbone_images, 0);

  // Another backbone: other weights, other features.
  TrainOptions other = cached;
  other.out = world.scratch().path("other");
  other.model = world.Model({{"taps", {0, 1, 2, 4}}});
  const auto third = RunTrainer(other);
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_EQ((*third)->epochs()[0].backbone_images, 8);
}

TEST(Trainer, a_cache_that_is_too_small_keeps_what_fits_and_changes_no_bit) {
  World world;
  const std::string model = world.Model(), data = world.Data(4, 4);
  TrainOptions plain = world.Options("plain", model, data);
  plain.epochs = 2;
  ASSERT_TRUE(RunTrainer(plain).ok());
  TrainOptions cached = WithCache(plain, world);
  const int64_t bytes =
      4 * Backbone::Values(*model::ParseModelConfig(*ReadFile(model + "/config.json")));
  cached.cache_bytes = 3 * bytes + 2 * bytes / 3;
  const auto trainer = RunTrainer(cached);
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  EXPECT_EQ((*trainer)->epochs()[1].backbone_images, 5);
  ExpectSameBits(Last(plain), Last(cached));
}

TEST(Trainer, mosaics_go_past_the_cache) {
  World world;
  TrainOptions options = world.Options("out", world.Model(), world.Data(4, 4));
  options.epochs = 2;
  options.samples.mosaic_rate = 1;
  options.cache = world.scratch().path("cache");
  const auto trainer = RunTrainer(options);
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  EXPECT_EQ((*trainer)->epochs()[1].backbone_images, 8);
  EXPECT_FALSE(std::filesystem::exists(options.cache));
}

TEST(Trainer, accumulated_batches_learn_as_one_large_one) {
  World world;
  const std::string model = world.Model(), data = world.Data(4, 4);
  const auto loss = [&](const std::string& out, int64_t batch, int64_t accumulate) {
    TrainOptions options = world.Options(out, model, data);
    options.batch = batch;
    options.accumulate = accumulate;
    options.variant.attn_drop = 0;  // drawn by batch
    options.epochs = 3;
    const auto trainer = RunTrainer(options);
    return trainer.ok() ? (*trainer)->epochs().back().losses.total : NAN;
  };
  const double large = loss("large", 4, 1), accumulated = loss("accumulated", 2, 2);
  EXPECT_NEAR(accumulated, large, 1e-3);
  EXPECT_GT(std::abs(loss("small", 2, 1) - large), 1e-2);
}

TEST(Trainer, bf16_learns_about_the_same_and_keeps_fp32_parameters) {
  World world;
  const std::string model = world.Model(), data = world.Data(4, 4);
  TrainOptions fp32 = world.Options("fp32", model, data);
  fp32.epochs = 3;
  fp32.variant.attn_drop = 0;
  TrainOptions bf16 = fp32;
  bf16.out = world.scratch().path("bf16");
  bf16.bf16 = true;
  const auto exact = RunTrainer(fp32), rounded = RunTrainer(bf16);
  ASSERT_TRUE(exact.ok());
  ASSERT_TRUE(rounded.ok()) << rounded.status();
  EXPECT_NEAR((*rounded)->epochs()[2].losses.total, (*exact)->epochs()[2].losses.total, 0.05);
  EXPECT_FALSE(at::equal(Last(fp32).at("cross_fusion.linear.weight"),
                         Last(bf16).at("cross_fusion.linear.weight")));
}

TEST(Trainer, images_without_masks_teach_their_pixels_nothing_where_asked) {
  World world;
  const std::string model = world.Model(), data = world.Data(2, 4);
  std::filesystem::remove_all(data + "/bolt/ground_truth");
  TrainOptions options = world.Options("out", model, data);
  options.batch = 1;
  options.skip_missing_masks = true;
  ASSERT_TRUE(RunTrainer(options).ok());
  // step,epoch,learning_rate,loss,ce,focal,dice
  const std::string steps = *ReadFile(options.out + "/training/steps.csv");
  size_t without = 0;
  for (size_t at = steps.find(",0,0\n"); at != std::string::npos; at = steps.find(",0,0\n", at + 1))
    ++without;
  EXPECT_EQ(without, 4U);
}

TEST(Trainer, refuses_to_write_over_its_model_or_other_things) {
  World world;
  const std::string model = world.Model(), data = world.Data(2, 2);
  TrainOptions options = world.Options("out", model, data);
  options.out = model;
  EXPECT_THAT(RunTrainer(options).status().message(), HasSubstr("training starts from"));
  options.out = world.Model({{"name", "other"}});
  EXPECT_THAT(RunTrainer(options).status().message(), HasSubstr("no training run made"));
  EXPECT_FALSE(std::filesystem::exists(model + "/training"));
  options.out = world.scratch().path("new");
  ASSERT_TRUE(RunTrainer(options).ok());
  options.resume = true;
  options.variant.adapter = "linear";
  EXPECT_THAT(RunTrainer(options).status().message(), HasSubstr("another configuration"));
}

TEST(Trainer, refuses_wishes_that_contradict_each_other) {
  World world;
  TrainOptions options = world.Options("out", world.Model(), world.Data(2, 2));
  options.variant.share_adapter = true;
  EXPECT_THAT(RunTrainer(options).status().message(), HasSubstr("only linear adapters"));
  options.variant = {};
  options.variant.gamma = 0.5;
  EXPECT_THAT(RunTrainer(options).status().message(), HasSubstr("residual encoder alone"));
}

TEST(Trainer, refuses_an_output_that_another_run_has) {
  World world;
  const TrainOptions options = world.Options("out", world.Model(), world.Data(2, 2));
  std::ostringstream log;
  const auto first = Trainer::Create(options, log, /*terminal=*/false);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(RunTrainer(options).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST(Trainer, a_damaged_checkpoint_is_refused) {
  World world;
  TrainOptions options = world.Options("out", world.Model(), world.Data(2, 2));
  ASSERT_TRUE(RunTrainer(options).ok());
  options.resume = true;
  options.epochs = 2;
  const std::string path = options.out + "/training/checkpoint.safetensors";
  Checkpoint checkpoint = *ReadCheckpoint(path);
  const Checkpoint good = checkpoint;
  checkpoint.state["batch"] = 99;
  ASSERT_TRUE(WriteCheckpoint(path, checkpoint).ok());
  EXPECT_THAT(RunTrainer(options).status().message(), HasSubstr("stands at no update"));
  checkpoint = good;
  checkpoint.tensors.erase("v.prompt_learner.ctx_pos");
  ASSERT_TRUE(WriteCheckpoint(path, checkpoint).ok());
  EXPECT_THAT(RunTrainer(options).status().message(), HasSubstr("v.prompt_learner.ctx_pos"));
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  EXPECT_EQ(RunTrainer(options).status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(WriteCheckpoint(path, good).ok());
  EXPECT_TRUE(RunTrainer(options).ok());
}

TEST(Trainer, what_a_killed_run_left_half_written_goes) {
  World world;
  TrainOptions options = world.Options("out", world.Model(), world.Data(2, 2));
  world.scratch().Write("out/training/checkpoint.safetensors.new.77.tmp", "half");
  world.scratch().Write("out/config.json.new", "half");
  ASSERT_TRUE(RunTrainer(options).ok());
  EXPECT_FALSE(std::filesystem::exists(options.out + "/config.json.new"));
  EXPECT_FALSE(
      std::filesystem::exists(options.out + "/training/checkpoint.safetensors.new.77.tmp"));
}

TEST(Trainer, a_damaged_image_is_named) {
  World world;
  const std::string model = world.Model(), data = world.Data(2, 2);
  world.scratch().Write("data/bolt/test/good/1.png", "no picture");
  EXPECT_THAT(RunTrainer(world.Options("out", model, data)).status().message(),
              HasSubstr("bolt/test/good/1.png"));
}

}  // namespace
}  // namespace hfwa::lab::train
