#include "core/model/hfwa.h"

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/model/device.h"
#include "core/model/maps.h"
#include "core/model/torch_errors.h"
#include "tests/model/tiny_model.h"

namespace hfwa::model {
namespace {

using testing::HasSubstr;

std::unique_ptr<Hfwa> CreateTiny(Precision precision = Precision::kFp32) {
  auto hfwa = Hfwa::Create(TinyFiles(), TinyOptions(precision));
  EXPECT_TRUE(hfwa.ok()) << hfwa.status();
  return hfwa.ok() ? *std::move(hfwa) : nullptr;
}

bool SameBits(const at::Tensor& a, const at::Tensor& b) { return at::equal(a, b); }

constexpr Precision kPrecisions[] = {Precision::kFp32, Precision::kBf16, Precision::kFp16,
                                     Precision::kInt8};

// Everything a reply is made of, of image `place` of a batch.
std::vector<at::Tensor> Numbers(const Hfwa& hfwa, const ForwardResult& result,
                                const PackedBank& bank, int place) {
  const at::Tensor few = MatchTokens(result.tokens, bank);
  std::vector<at::Tensor> numbers;
  for (const at::Tensor& batch :
       {result.text_probs, result.language_diff, result.tokens,
        ZeroShotMap(hfwa.config(), result.language_diff), few, FewShotMap(hfwa.config(), few)})
    numbers.push_back(batch[place]);
  return numbers;
}

// Design promise 4, of one image at the front, in the middle and at the end of each batch.
void ExpectSameBits(const Hfwa& hfwa, const std::vector<int>& batches) {
  const at::Tensor image = TinyInputs().at("images")[0], others = TinyInputs().at("references");
  const ForwardResult alone = hfwa.Forward(image.unsqueeze(0), std::vector<int>{0}).value();
  const auto bank = PackedBank::Pack(
      hfwa.kernels(), alone.tokens.transpose(0, 1).flatten(1, 2).flip(2).contiguous());
  const std::vector<at::Tensor> expected = Numbers(hfwa, alone, bank, 0);
  for (const int batch : batches) {
    const std::set<int> places{0, batch / 2, batch - 1};
    std::vector<at::Tensor> images;
    images.reserve(static_cast<size_t>(batch));
    for (int b = 0; b < batch; ++b) images.push_back(places.count(b) > 0 ? image : others[b % 4]);
    const ForwardResult together =
        hfwa.Forward(at::stack(images), std::vector<int>(batch, 0)).value();
    for (const int place : places) {
      const std::vector<at::Tensor> numbers = Numbers(hfwa, together, bank, place);
      for (size_t i = 0; i < numbers.size(); ++i) {
        EXPECT_TRUE(SameBits(numbers[i], expected[i]))
            << "number " << i << ", place " << place << " of " << batch << ", "
            << PrecisionName(hfwa.options().precision) << ", " << at::get_num_threads()
            << " threads";
      }
    }
  }
}

TEST(HfwaTest, gives_the_same_bits_whatever_shares_the_batch) {
  for (const Precision precision : kPrecisions) {
    auto hfwa = Hfwa::Create(TinyFiles(), TinyOptions(precision));
    if (precision == Precision::kInt8 && absl::IsUnavailable(hfwa.status())) continue;
    ASSERT_TRUE(hfwa.ok()) << hfwa.status();
    ExpectSameBits(**hfwa, {1, 2, 3, 4, 5, 8, 32});
    for (const int threads : {2, 3}) {  // few batches: on a busy machine they wait for each other
      at::set_num_threads(threads);
      ExpectSameBits(**hfwa, {1, 3});
    }
    at::set_num_threads(1);
  }
}

TEST(HfwaTest, computes_only_the_parts_asked_for) {
  const auto hfwa = CreateTiny();
  ASSERT_NE(hfwa, nullptr);
  const at::Tensor images = TinyInputs().at("images");
  const std::vector<int> classes(3, 0);
  const ForwardResult all = hfwa->Forward(images, classes).value();
  const ForwardResult tokens =
      hfwa->Forward(images, classes, {.language = false, .tokens = true}).value();
  EXPECT_FALSE(tokens.text_probs.defined());
  EXPECT_FALSE(tokens.language_diff.defined());
  EXPECT_TRUE(SameBits(tokens.tokens, all.tokens));
  const ForwardResult language =
      hfwa->Forward(images, classes, {.language = true, .tokens = false}).value();
  EXPECT_FALSE(language.tokens.defined());
  EXPECT_TRUE(SameBits(language.text_probs, all.text_probs));
  EXPECT_TRUE(SameBits(language.language_diff, all.language_diff));
}

TEST(HfwaTest, results_are_fp32_of_the_promised_shapes_and_tokens_have_length_one) {
  const auto hfwa = CreateTiny(Precision::kBf16);
  ASSERT_NE(hfwa, nullptr);
  const ForwardResult result =
      hfwa->Forward(TinyInputs().at("images"), std::vector<int>(3, 0)).value();
  EXPECT_EQ(result.text_probs.sizes(), (at::IntArrayRef{3, 2}));
  EXPECT_EQ(result.language_diff.sizes(), (at::IntArrayRef{3, 4, 8, 8}));
  EXPECT_EQ(result.tokens.sizes(), (at::IntArrayRef{3, 4, 64, 64}));
  for (const at::Tensor& tensor : {result.text_probs, result.language_diff, result.tokens}) {
    EXPECT_EQ(tensor.scalar_type(), at::kFloat);
  }
  EXPECT_LT((result.tokens.norm(2, {-1}) - 1).abs().max().item<float>(), 1e-6F);
}

// A model with neither language, ln_pre nor projection, as made from a plain vision transformer.
ModelFiles FewShotOnly() {
  ModelFiles files = TinyFiles();
  files.config.text.reset();
  files.config.taps = {1, 3};
  files.config.vision.projection = false;
  files.config.vision.pre_norm_layer = false;
  files.config.vision.quick_gelu = false;
  files.config.embed_dim = files.config.vision.width;
  return files;
}

TEST(HfwaTest, without_language_gives_tokens_of_the_tower_alone) {
  const auto hfwa = Hfwa::Create(FewShotOnly(), {});
  ASSERT_TRUE(hfwa.ok()) << hfwa.status();
  const ForwardResult result =
      (*hfwa)->Forward(TinyInputs().at("images"), std::vector<int>(3, 0)).value();
  EXPECT_FALSE(result.text_probs.defined());
  EXPECT_EQ(result.tokens.sizes(), (at::IntArrayRef{3, 2, 64, 128}));
}

TEST(HfwaTest, each_level_is_projected_by_its_own_affine_map) {
  ModelFiles files = TinyFiles();
  ModelFiles own = files;
  own.config.vision.level_projections = true;
  const int width = own.config.vision.width, embed = own.config.embed_dim;
  at::manual_seed(3);
  for (int level = 0; level < own.config.levels(); ++level) {
    const std::string at = "visual.level_projections." + std::to_string(level);
    own.weights.Set(at + ".weight", at::randn({embed, width}));
    own.weights.Set(at + ".bias", at::randn({embed}));
  }
  const ModelFiles kept = own;
  std::map<std::string, at::Tensor> seen;
  HfwaOptions options = TinyOptions();
  options.trace = [&](std::string_view name, const at::Tensor& value) {
    seen[std::string(name)] = value.clone();
  };
  const auto model = Hfwa::Create(std::move(own), options);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto plain = Hfwa::Create(std::move(files), TinyOptions());
  ASSERT_TRUE(plain.ok()) << plain.status();
  const at::Tensor images = TinyInputs().at("images").slice(0, 0, 1);
  const auto result = (*model)->Forward(images, {0});
  ASSERT_TRUE(result.ok()) << result.status();
  for (int level = 0; level < kept.config.levels(); ++level) {
    const std::string at = "visual.level_projections." + std::to_string(level);
    const at::Tensor& weight = kept.weights.tensors().at(at + ".weight");
    const at::Tensor& bias = kept.weights.tensors().at(at + ".bias");
    const std::string number = std::to_string(level);
    const at::Tensor tokens = seen.at("tap." + number).slice(-2, 1);
    const at::Tensor expected = at::matmul(tokens, weight.t()) + bias;
    const at::Tensor unit = expected / expected.norm(2, {-1}, true);
    EXPECT_TRUE(at::allclose(result->tokens.select(1, level), unit, 1e-4, 1e-5));
    const at::Tensor adapted = at::matmul(seen.at("adapter." + number), weight.t()) + bias;
    EXPECT_TRUE(at::allclose(seen.at("patch_features." + number), adapted, 1e-4, 1e-4));
  }
  // The image feature is visual.proj's still.
  const auto before = (*plain)->Forward(images, {0});
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_TRUE(at::equal(result->text_probs, before->text_probs));
  EXPECT_FALSE(at::equal(result->language_diff, before->language_diff));
}

TEST(HfwaTest, names_a_missing_or_misshapen_tensor) {
  for (const std::string name :
       {"visual.conv1.weight", "visual.transformer.resblocks.2.mlp.c_proj.bias", "ln_final.weight",
        "visual_encoder.adapters.1.blocks.0.attn.logit_scale", "prompt_learner.ctx_neg"}) {
    ModelFiles files = TinyFiles();
    Weights without;
    for (const auto& [key, tensor] : files.weights.tensors()) {
      if (key != name) without.Set(key, tensor);
    }
    files.weights = without;
    const auto missing = Hfwa::Create(std::move(files), TinyOptions());
    EXPECT_EQ(missing.status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(missing.status().message()), HasSubstr(name));

    files = TinyFiles();
    files.weights.Set(name, at::zeros({3, 3}));
    const auto misshapen = Hfwa::Create(std::move(files), TinyOptions());
    EXPECT_EQ(misshapen.status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(misshapen.status().message()), HasSubstr(name));
  }
}

TEST(HfwaTest, refuses_a_configuration_that_contradicts_the_weights) {
  ModelFiles files = TinyFiles();
  files.config.vision.layers = 7;
  EXPECT_EQ(Hfwa::Create(std::move(files), TinyOptions()).status().code(),
            absl::StatusCode::kInvalidArgument);
  files = TinyFiles();
  files.config.adapter.heads = 8;
  EXPECT_EQ(Hfwa::Create(std::move(files), TinyOptions()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(HfwaTest, refuses_prompt_ids_of_another_shape_or_outside_the_vocabulary) {
  HfwaOptions options = TinyOptions();
  options.prompt_tokens->normal = options.prompt_tokens->normal.slice(2, 1);
  EXPECT_EQ(Hfwa::Create(TinyFiles(), options).status().code(), absl::StatusCode::kInvalidArgument);
  options = TinyOptions();
  options.prompt_tokens->anomaly = options.prompt_tokens->anomaly + 200;
  EXPECT_EQ(Hfwa::Create(TinyFiles(), options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(HfwaTest, refuses_images_and_classes_that_do_not_fit) {
  const auto hfwa = CreateTiny();
  ASSERT_NE(hfwa, nullptr);
  const at::Tensor images = TinyInputs().at("images");
  const auto code = [&](const at::Tensor& tensor, const std::vector<int>& classes) {
    return hfwa->Forward(tensor, classes).status().code();
  };
  EXPECT_EQ(code(at::Tensor(), {}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(images.slice(3, 1), {0, 0, 0}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(images.to(at::kDouble), {0, 0, 0}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(images, {0}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(images, {0, 1, 0}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(images, {0, -1, 0}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(images.slice(0, 0, 0), {}), absl::StatusCode::kInvalidArgument);
}

TEST(HfwaTest, fingerprint_tells_precisions_apart_and_unknown_classes_are_the_first) {
  const auto fp32 = CreateTiny(), bf16 = CreateTiny(Precision::kBf16);
  ASSERT_TRUE(fp32 != nullptr && bf16 != nullptr);
  EXPECT_NE(fp32->fingerprint(), bf16->fingerprint());
  EXPECT_THAT(fp32->fingerprint(), HasSubstr(fp32->digest()));
  EXPECT_EQ(fp32->ClassIndex("object"), 0);
  EXPECT_EQ(fp32->ClassIndex("never heard of"), 0);
}

TEST(PrecisionTest, names_parse_back) {
  for (const Precision precision : kPrecisions) {
    EXPECT_EQ(*ParsePrecision(PrecisionName(precision)), precision);
  }
  EXPECT_EQ(ParsePrecision("int4").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(DeviceTest, names_what_is_wrong) {
  EXPECT_TRUE(OpenDevice("cpu")->is_cpu());
  for (const char* name : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:999"}) {
    EXPECT_EQ(OpenDevice(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST(TorchErrorsTest, memory_and_other_failures_get_their_codes) {
  const auto of = [](auto function) {
    return CatchTorchErrors([&]() -> absl::Status {
      function();
      return absl::OkStatus();
    });
  };
  EXPECT_TRUE(of([] {}).ok());
  const absl::Status shapes = of([] { at::mm(at::zeros({2, 3}), at::zeros({2, 3})); });
  EXPECT_EQ(shapes.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(shapes.message()), testing::Not(HasSubstr("frame #")));
  EXPECT_EQ(of([] { at::empty({int64_t{1} << 50}); }).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(of([] { throw std::bad_alloc(); }).code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace hfwa::model
