// PromptAD against a small implementation in double precision on the raw weights.

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "core/model/hfwa.h"
#include "core/model/maps.h"
#include "core/model/tokenizer.h"
#include "lab/eval/features.h"
#include "lab/eval/promptad_method.h"
#include "lab/train/promptad.h"
#include "tests/lab/train/world.h"

namespace hfwa::lab {
namespace {

using ::testing::HasSubstr;
using train::PromptadLoss;
using train::PromptFeatures;

constexpr int kContext = 77, kVectors = 4, kSuffixes = 4;
const std::vector<std::string> kStates = {"damaged metal nut", "broken metal nut",
                                          "metal nut with flaw", "metal nut with defect",
                                          "metal nut with damage"};

at::Tensor Noise(std::vector<int64_t> shape, int seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}
at::Tensor UnitRows(const at::Tensor& x) { return x / x.norm(2, {-1}, /*keepdim=*/true); }

// CLIP's text tower and the three kinds of prompts, one prompt at a time.
class PlainText {
 public:
  explicit PlainText(const model::ModelFiles& files)
      : config_(files.config),
        tokenizer_(*model::Tokenizer::Create(files.merges, files.config.text->vocab_size)) {
    for (const auto& [name, tensor] : files.weights.tensors()) {
      if (name.rfind("visual", 0) != 0) weights_[name] = tensor.to(at::kDouble);
    }
  }

  struct Prompts {
    at::Tensor normal, manual, learnt;
  };
  // Of the class "metal_nut"; rows in the order of `promptad.h`: contexts fastest.
  Prompts Encode(const at::Tensor& contexts, const at::Tensor& suffixes) const {
    std::vector<at::Tensor> normal, manual, learnt;
    const int64_t count = contexts.size(0);
    for (int64_t i = 0; i < count; ++i) normal.push_back(Row(contexts[i], "metal nut", {}));
    for (const std::string& state : kStates) {
      for (int64_t i = 0; i < count; ++i) manual.push_back(Row(contexts[i], state, {}));
    }
    for (int64_t j = 0; j < suffixes.size(0); ++j) {
      for (int64_t i = 0; i < count; ++i)
        learnt.push_back(Row(contexts[i], "metal nut", suffixes[j]));
    }
    return {at::stack(normal), at::stack(manual), at::stack(learnt)};
  }

 private:
  at::Tensor W(const std::string& name) const { return weights_.at(name); }
  at::Tensor Norm(const at::Tensor& x, const std::string& name) const {
    const at::Tensor centred = x - x.mean(-1, true);
    return centred / (centred.square().mean(-1, true) + 1e-5).sqrt() * W(name + ".weight") +
           W(name + ".bias");
  }
  at::Tensor Words(const std::string& text) const {
    return W("token_embedding.weight")
        .index_select(0, at::tensor(*tokenizer_.Encode(text), at::kLong));
  }
  at::Tensor Token(int64_t id) const { return W("token_embedding.weight")[id].unsqueeze(0); }

  // [start, contexts, words, suffix, full stop, end].
  at::Tensor Row(const at::Tensor& context, const std::string& words,
                 const at::Tensor& suffix) const {
    std::vector<at::Tensor> parts = {Token(tokenizer_.start_id()), context, Words(words)};
    if (suffix.defined()) parts.push_back(suffix);
    parts.push_back(Words("."));
    parts.push_back(Token(tokenizer_.end_id()));
    at::Tensor x = at::cat(parts);
    x = x + W("positional_embedding").slice(0, 0, x.size(0));
    for (int b = 0; b < config_.text->layers; ++b) x = Block(x, b);
    return at::matmul(Norm(x[x.size(0) - 1], "ln_final"), W("text_projection"));
  }
  at::Tensor Block(const at::Tensor& x, int b) const {
    const std::string at = absl::StrCat("transformer.resblocks.", b, ".");
    const int64_t width = config_.text->width, heads = config_.text->heads, d = width / heads;
    const at::Tensor qkv = at::matmul(Norm(x, at + "ln_1"), W(at + "attn.in_proj_weight").t()) +
                           W(at + "attn.in_proj_bias");
    const at::Tensor later = at::ones({x.size(0), x.size(0)}, at::kBool).triu(1);
    std::vector<at::Tensor> parts;
    for (int64_t h = 0; h < heads; ++h) {
      const at::Tensor q = qkv.narrow(1, h * d, d), k = qkv.narrow(1, width + h * d, d),
                       v = qkv.narrow(1, 2 * width + h * d, d);
      const at::Tensor logits =
          (at::matmul(q, k.t()) / std::sqrt(static_cast<double>(d))).masked_fill(later, -1e30);
      parts.push_back(at::matmul(at::softmax(logits, 1), v));
    }
    const at::Tensor y = x + at::matmul(at::cat(parts, 1), W(at + "attn.out_proj.weight").t()) +
                         W(at + "attn.out_proj.bias");
    at::Tensor hidden =
        at::matmul(Norm(y, at + "ln_2"), W(at + "mlp.c_fc.weight").t()) + W(at + "mlp.c_fc.bias");
    hidden = hidden * at::sigmoid(1.702 * hidden);
    return y + at::matmul(hidden, W(at + "mlp.c_proj.weight").t()) + W(at + "mlp.c_proj.bias");
  }

  const model::ModelConfig config_;
  const model::Tokenizer tokenizer_;
  std::map<std::string, at::Tensor> weights_;
};

// The loss's terms feature by feature and prompt by prompt.
struct Terms {
  at::Tensor contrast, margin, alignment, total;
};
Terms PlainLoss(const at::Tensor& features, const PlainText::Prompts& prompts) {
  const at::Tensor anomaly = at::cat({prompts.manual, prompts.learnt});
  const at::Tensor w_n = UnitRows(prompts.normal.mean(0)), w_a = UnitRows(anomaly.mean(0));
  Terms terms;
  terms.contrast = terms.margin = at::zeros({}, at::kDouble);
  const auto count = static_cast<double>(features.size(0));
  for (int64_t r = 0; r < features.size(0); ++r) {
    const at::Tensor z = features[r].to(at::kDouble);
    const at::Tensor own = at::exp(100 * (at::dot(z, w_n) - 1));
    at::Tensor all = own;
    for (int64_t t = 0; t < anomaly.size(0); ++t)
      all = all + at::exp(100 * (at::dot(z, UnitRows(anomaly[t])) - 1));
    terms.contrast = terms.contrast - at::log(own / all) / count;
    const at::Tensor more = (z - w_n).norm() - (z - w_a).norm();
    if (more.item<double>() > 0) terms.margin = terms.margin + more / count;
  }
  at::Tensor manual = at::zeros_like(w_n), learnt = at::zeros_like(w_n);
  for (int64_t t = 0; t < prompts.manual.size(0); ++t)
    manual = manual + UnitRows(prompts.manual[t]) / static_cast<double>(prompts.manual.size(0));
  for (int64_t t = 0; t < prompts.learnt.size(0); ++t)
    learnt = learnt + UnitRows(prompts.learnt[t]) / static_cast<double>(prompts.learnt.size(0));
  terms.alignment = at::dot(manual - learnt, manual - learnt);
  terms.total = terms.contrast + terms.margin + 0.001 * terms.alignment;
  return terms;
}

class PromptadTest : public ::testing::Test {
 protected:
  PromptadTest() : folder_(world_.Model({{"text", {{"context_length", kContext}}}})) {
    files_ = *model::ReadModelDirectory(folder_);
    text_ = *train::PromptadText::Create(files_.config, files_.weights, files_.merges, at::kCPU);
  }
  // Unit features near each other, as those of one class are.
  at::Tensor NearFeatures(int count, int seed) const {
    const int64_t width = files_.config.embed_dim;
    return UnitRows(Noise({width}, seed) + 0.3 * Noise({count, width}, seed + 1));
  }

  train::World world_;
  const std::string folder_;
  model::ModelFiles files_;
  std::unique_ptr<train::PromptadText> text_;
};

TEST_F(PromptadTest, prompts_are_contexts_words_and_suffixes_through_the_frozen_tower) {
  const PlainText plain(files_);
  for (const int normal : {1, 3}) {
    const auto prompts = *train::PromptadPrompts::Create(*text_, "metal_nut", normal, 5);
    const at::Tensor contexts = prompts->parameters().at("contexts").detach().to(at::kDouble),
                     suffixes = prompts->parameters().at("suffixes").detach().to(at::kDouble);
    ASSERT_EQ(contexts.size(0), normal);
    ASSERT_EQ(contexts.size(1), kVectors);
    ASSERT_EQ(suffixes.size(0), kSuffixes);
    const PlainText::Prompts expected = plain.Encode(contexts, suffixes);
    const PromptFeatures got = prompts->Encode();
    EXPECT_LT((got.normal - expected.normal).abs().max().item<double>(), 1e-4);
    EXPECT_LT((got.manual - expected.manual).abs().max().item<double>(), 1e-4);
    EXPECT_LT((got.learnt - expected.learnt).abs().max().item<double>(), 1e-4);
    EXPECT_GT((expected.learnt[0] - expected.learnt[normal]).abs().max().item<double>(), 1e-3);
  }
}

TEST_F(PromptadTest, each_term_of_the_loss_is_its_formula) {
  const auto prompts = *train::PromptadPrompts::Create(*text_, "metal_nut", 3, 5);
  const PromptFeatures features = prompts->Encode();
  const PlainText::Prompts as_double = {features.normal.detach().to(at::kDouble),
                                        features.manual.detach().to(at::kDouble),
                                        features.learnt.detach().to(at::kDouble)};
  for (int seed = 0; seed < 4; ++seed) {
    const at::Tensor z = NearFeatures(7, 10 * seed);
    const Terms expected = PlainLoss(z, as_double);
    const PromptadLoss got = ComputePromptadLoss(z, features);
    EXPECT_NEAR(got.contrast.item<double>(), expected.contrast.item<double>(), 1e-3);
    EXPECT_NEAR(got.margin.item<double>(), expected.margin.item<double>(), 1e-5);
    EXPECT_NEAR(got.alignment.item<double>(), expected.alignment.item<double>(), 1e-5);
    EXPECT_NEAR(got.total.item<double>(), expected.total.item<double>(), 1e-3);
  }
}

TEST_F(PromptadTest, each_terms_gradient_is_that_of_finite_differences_through_the_tower) {
  const PlainText plain(files_);
  // Features on both sides of the margin.
  const at::Tensor z = UnitRows(Noise({6, files_.config.embed_dim}, 3));
  const std::map<std::string, std::function<at::Tensor(const PromptadLoss&)>> got = {
      {"contrast", [](const PromptadLoss& loss) { return loss.contrast; }},
      {"margin", [](const PromptadLoss& loss) { return loss.margin; }},
      {"alignment", [](const PromptadLoss& loss) { return loss.alignment; }}};
  const std::map<std::string, std::function<double(const Terms&)>> expected = {
      {"contrast", [](const Terms& terms) { return terms.contrast.item<double>(); }},
      {"margin", [](const Terms& terms) { return terms.margin.item<double>(); }},
      {"alignment", [](const Terms& terms) { return terms.alignment.item<double>(); }}};
  constexpr double kStep = 1e-5;
  for (const auto& [term, pick] : got) {
    const auto prompts = *train::PromptadPrompts::Create(*text_, "metal_nut", 2, 5);
    pick(ComputePromptadLoss(z, prompts->Encode())).backward();
    for (const std::string name : {"contexts", "suffixes"}) {
      const at::Tensor gradient = prompts->parameters().at(name).grad().flatten();
      const double scale = gradient.abs().max().item<double>();
      EXPECT_GT(scale, 1e-6) << term << " " << name;
      for (int64_t i = 0; i < gradient.numel(); i += gradient.numel() / 5) {
        std::map<std::string, at::Tensor> values;
        for (const auto& [key, value] : prompts->parameters())
          values[key] = value.detach().to(at::kDouble, false, /*copy=*/true);
        const auto at_step = [&](double step) {
          at::Tensor flat = values.at(name).view({-1});
          flat[i] += step;
          const double loss = expected.at(term)(
              PlainLoss(z, plain.Encode(values.at("contexts"), values.at("suffixes"))));
          flat[i] -= step;
          return loss;
        };
        const double difference = (at_step(kStep) - at_step(-kStep)) / (2 * kStep);
        EXPECT_NEAR(gradient[i].item<double>(), difference, 2e-3 * scale)
            << term << " " << name << " " << i;
      }
    }
  }
}

TEST_F(PromptadTest, learning_is_a_hundred_steps_of_descent_with_momentum) {
  const at::Tensor z = NearFeatures(6, 1);
  std::vector<double> losses;
  const auto got = train::LearnPrototypes(*text_, "metal_nut", 2, z, 5, &losses);
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_EQ(losses.size(), 100U);
  EXPECT_LT(losses.back(), losses.front());

  const PlainText plain(files_);
  const auto start = *train::PromptadPrompts::Create(*text_, "metal_nut", 2, 5);
  std::map<std::string, at::Tensor> values, momenta;
  for (const auto& [name, value] : start->parameters()) {
    values[name] = value.detach().to(at::kDouble, false, /*copy=*/true).set_requires_grad(true);
    momenta[name] = at::zeros_like(values[name]);
  }
  for (int step = 0; step < 100; ++step) {
    const Terms terms = PlainLoss(z, plain.Encode(values.at("contexts"), values.at("suffixes")));
    EXPECT_NEAR(losses[static_cast<size_t>(step)], terms.total.item<double>(),
                5e-3 * (1 + std::abs(losses[static_cast<size_t>(step)])))
        << step;
    terms.total.backward();
    const double rate = 1e-5 + (0.002 - 1e-5) * (1 + std::cos(std::numbers::pi * step / 100)) / 2;
    for (auto& [name, value] : values) {
      momenta[name] = 0.9 * momenta[name] + value.grad() + 0.0005 * value.detach();
      value = (value.detach() - rate * momenta[name]).set_requires_grad(true);
    }
  }
  const PlainText::Prompts prompts =
      plain.Encode(values.at("contexts").detach(), values.at("suffixes").detach());
  const at::Tensor w_n = UnitRows(prompts.normal.mean(0)),
                   w_a = UnitRows(at::cat({prompts.manual, prompts.learnt}).mean(0));
  EXPECT_LT(((*got)[0] - w_n).abs().max().item<double>(), 2e-3);
  EXPECT_LT(((*got)[1] - w_a).abs().max().item<double>(), 2e-3);
}

TEST_F(PromptadTest,
       learning_is_a_function_of_the_seed_and_moves_good_features_to_the_normal_side) {
  const at::Tensor z = NearFeatures(6, 1);
  const at::Tensor first = *train::LearnPrototypes(*text_, "bolt", 1, z, 5),
                   again = *train::LearnPrototypes(*text_, "bolt", 1, z, 5),
                   other = *train::LearnPrototypes(*text_, "bolt", 1, z, 6);
  EXPECT_TRUE(at::equal(first, again));
  EXPECT_FALSE(at::equal(first, other));
  const auto untrained = *train::PromptadPrompts::Create(*text_, "bolt", 1, 5);
  const at::Tensor before = train::AnomalyOf(z, train::Prototypes(untrained->Encode()).detach()),
                   after = train::AnomalyOf(z, first);
  EXPECT_LT(after.mean().item<double>(), before.mean().item<double>());
}

TEST_F(PromptadTest, says_where_the_prompts_do_not_fit) {
  const auto prompts = train::PromptadPrompts::Create(*text_, std::string(200, 'q'), 1, 5);
  EXPECT_TRUE(absl::IsFailedPrecondition(prompts.status())) << prompts.status();
}

// The method over whole features.
class PromptadMethodTest : public PromptadTest {
 protected:
  PromptadMethodTest() {
    hfwa_ = *model::Hfwa::Create(files_, {});
    method_ = *MakeMethod("promptad", Loaded());
  }
  LoadedModel Loaded() const { return {.hfwa = *hfwa_, .files = files_, .directory = folder_}; }
  Features See(int number, bool defect) const {
    const at::Tensor input =
        SeededImage(absl::StrCat("image.", number), files_.config.vision.image_size, 3, defect)
            .unsqueeze(0);
    Features features = *Encode(*hfwa_, input, "metal_nut");
    for (const View* view : method_->views()) {
      features.views[view->name()] =
          *view->Look({.picture = {}, .model_input = input, .class_name = "metal_nut"});
    }
    return features;
  }

  std::unique_ptr<model::Hfwa> hfwa_;
  std::unique_ptr<Method> method_;
};

TEST_F(PromptadMethodTest, judges_by_both_maps_harmonic_mean) {
  const References references = {
      .images = {See(1, false), See(3, false)}, .class_name = "metal_nut", .seed = 4};
  const auto detector = method_->Fit(references);
  ASSERT_TRUE(detector.ok()) << detector.status();
  const Features image = See(2, true);
  const auto got = (*detector)->Judge(image, false);
  ASSERT_TRUE(got.ok()) << got.status();

  const int levels = files_.config.levels();
  const auto whole = [](const Features& of) {
    return UnitRows(ImageFeatureOf(of.views.at(ValueTokensView::kName)));
  };
  const auto local = [&](const Features& of) {
    return TokensOf(of.views.at(ValueTokensView::kName), levels)[levels - 1];
  };
  std::vector<at::Tensor> wholes, locals;
  for (const Features& reference : references.images) {
    wholes.push_back(whole(reference));
    locals.push_back(local(reference));
  }
  const at::Tensor by_image = *train::LearnPrototypes(*text_, "metal_nut", 3, at::stack(wholes), 8);
  const at::Tensor by_patch = *train::LearnPrototypes(*text_, "metal_nut", 1, at::cat(locals), 9);
  const auto anomaly = [](const at::Tensor& z, const at::Tensor& pair) {
    return 1 / (1 + std::exp(100 * (at::dot(z, pair[0]) - at::dot(z, pair[1])).item<double>()));
  };
  const auto harmonic = [](double a, double b) {
    return 2 / (1 / std::max(a, 1e-6) + 1 / std::max(b, 1e-6));
  };
  const int64_t patches = files_.config.vision.patches();
  double largest = 0;
  at::Tensor map = at::empty({patches});
  for (int64_t p = 0; p < patches; ++p) {
    double vision = 0;
    for (const int level : {1, 2}) {  // the middle of four
      double best = -1;
      for (const Features& reference : references.images) {
        for (int64_t q = 0; q < patches; ++q)
          best = std::max(
              best, at::dot(image.tokens[level][p], reference.tokens[level][q]).item<double>());
      }
      vision += (1 - best) / 2 / 2;
    }
    largest = std::max(largest, vision);
    map[p] = harmonic(anomaly(local(image)[p], by_patch), vision);
  }
  EXPECT_NEAR(*got->raw.image, harmonic(anomaly(whole(image), by_image), largest), 1e-5);
  const int64_t grid = files_.config.vision.grid();
  const at::Tensor expected = model::GaussianFilter(
      model::UpsampleMaps(map.view({1, grid, grid}), files_.config.map_size), 4)[0];
  EXPECT_LT((got->map - expected).abs().max().item<double>(), 1e-5);
}

TEST_F(PromptadMethodTest, repeats_for_its_seed_and_needs_references) {
  References references = {.images = {See(1, false)}, .class_name = "metal_nut", .seed = 4};
  const Features image = See(2, true);
  const auto score = [&] { return *(*(*method_->Fit(references))->Judge(image, false)).raw.image; };
  const float first = score();
  EXPECT_EQ(first, score());
  references.seed = 5;
  EXPECT_NE(first, score());
  references.images.clear();
  EXPECT_TRUE(absl::IsFailedPrecondition(method_->Fit(references).status()));
}

// A made-up picture's tokens are its own, so what is not in the references stands out.
TEST_F(PromptadMethodTest, a_defect_scores_higher_than_what_it_was_shown) {
  const References references = {
      .images = {See(1, false), See(3, false)}, .class_name = "metal_nut", .seed = 4};
  const auto detector = *method_->Fit(references);
  const auto score = [&](const Features& image) {
    return *(*detector->Judge(image, false)).raw.image;
  };
  for (const int number : {1, 3}) EXPECT_GT(score(See(number, true)), score(See(number, false)));
}

TEST(PromptadWithoutText, is_refused) {
  train::World world;
  const model::ModelFiles files = *model::ReadModelDirectory(world.Model(
      {{"text", nullptr}, {"prompt", nullptr}, {"adapter", nullptr}, {"fusion_dim", nullptr}}));
  const auto hfwa = *model::Hfwa::Create(files, {});
  const auto method =
      MakeMethod("promptad", {.hfwa = *hfwa, .files = files, .directory = world.scratch().root()});
  EXPECT_TRUE(absl::IsFailedPrecondition(method.status())) << method.status();
}

}  // namespace
}  // namespace hfwa::lab
