// WinCLIP against its formulas, over the tower and text tower written out in plain operators.

#include "lab/eval/winclip_method.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "core/model/maps.h"
#include "core/model/text_tower.h"
#include "core/model/tokenizer.h"
#include "lab/train/prompt_sets.h"
#include "tests/lab/clip_model.h"
#include "tests/lab/plain_tower.h"

namespace hfwa::lab {
namespace {

using testing::HasSubstr;

class WinclipTest : public testing::Test {
 protected:
  WinclipTest() : plain_(model_.config(), model_.files().weights) {
    auto method = MakeMethod("winclip", model_.loaded());
    EXPECT_TRUE(method.ok()) << method.status();
    method_ = *std::move(method);
  }

  Features See(const at::Tensor& image) const {
    Features features;
    for (const View* view : method_->views())
      features.views[view->name()] = model_.Look(*view, image);
    return features;
  }
  std::unique_ptr<Detector> Fit(const std::vector<at::Tensor>& references) const {
    std::vector<Features> images;
    for (const at::Tensor& image : references) images.push_back(See(image));
    auto detector = method_->Fit({std::move(images), "metal_nut", 0});
    EXPECT_TRUE(detector.ok()) << detector.status();
    return *std::move(detector);
  }

  // Mean of a side's unit features, one prompt after the other, brought to length one.
  at::Tensor Side(const std::vector<std::string>& states) const {
    const auto tokenizer =
        model::Tokenizer::Create(model_.files().merges, model_.config().text->vocab_size);
    EXPECT_TRUE(tokenizer.ok());
    const auto tower = model::TextTower::Load(model_.config(), model_.files().weights);
    EXPECT_TRUE(tower.ok());
    const at::Tensor table = model_.files().weights.tensors().at("token_embedding.weight");
    at::Tensor sum = at::zeros({model_.config().embed_dim}, at::kDouble);
    for (const std::string& state : states) {
      for (const std::string& scene : train::FixedTemplates()) {
        const std::string text =
            absl::StrReplaceAll(scene, {{"{}", absl::StrReplaceAll(state, {{"{}", "metal nut"}})}});
        const auto row = tokenizer->EncodeRow(text, model_.config().text->context_length, false);
        EXPECT_TRUE(row.ok()) << row.status();
        const at::Tensor ids = at::tensor(*row);
        const at::Tensor feature =
            (*tower)->Encode(at::embedding(table, ids).unsqueeze(0), ids.argmax().view({1}))[0];
        sum += (feature / feature.norm()).to(at::kDouble);
      }
    }
    return sum / sum.norm();
  }
  at::Tensor Pair() const {
    return at::stack({Side(train::FixedStatesNormal()), Side(train::FixedStatesAnomaly())})
        .to(at::kFloat);
  }

  // Of the image's patches y .. y + side - 1, x .. x + side - 1 alone.
  at::Tensor WindowFeature(const at::Tensor& embedded, int y, int x, int side) const {
    std::vector<int64_t> rows = {0};
    for (int v = y; v < y + side; ++v) {
      for (int u = x; u < x + side; ++u) rows.push_back(1 + v * grid_ + u);
    }
    const at::Tensor tokens =
        plain_.Blocks(embedded.index_select(0, at::tensor(rows)), model_.config().vision.layers);
    return UnitRows(plain_.NormedAndProjected(tokens[0]));
  }
  std::vector<at::Tensor> WindowFeatures(const at::Tensor& image, int side) const {
    const at::Tensor embedded = plain_.Embed(image);
    std::vector<at::Tensor> features;
    for (int y = 0; y + side <= grid_; ++y) {
      for (int x = 0; x + side <= grid_; ++x)
        features.push_back(WindowFeature(embedded, y, x, side));
    }
    return features;
  }
  at::Tensor Patches(const at::Tensor& image) const {
    return UnitRows(
        plain_.Blocks(plain_.Embed(image), model_.config().vision.layers - 1).slice(0, 1));
  }
  at::Tensor WholeFeature(const at::Tensor& image) const {
    return UnitRows(plain_.NormedAndProjected(
        plain_.Blocks(plain_.Embed(image), model_.config().vision.layers)[0]));
  }
  static double Defect(const at::Tensor& feature, const at::Tensor& pair) {
    const double normal = at::dot(feature, pair[0]).item<double>() / 0.07,
                 defect = at::dot(feature, pair[1]).item<double>() / 0.07;
    return std::exp(defect) / (std::exp(normal) + std::exp(defect));
  }
  // Harmonic mean of the scores of the windows over each patch.
  at::Tensor Cover(const std::vector<double>& scores, int side) const {
    const int across = grid_ - side + 1;
    at::Tensor map = at::zeros({grid_, grid_}, at::kDouble);
    for (int y = 0; y < grid_; ++y) {
      for (int x = 0; x < grid_; ++x) {
        double inverse = 0, count = 0;
        for (int v = std::max(0, y - side + 1); v <= std::min(y, across - 1); ++v) {
          for (int u = std::max(0, x - side + 1); u <= std::min(x, across - 1); ++u) {
            inverse += 1 / scores[static_cast<size_t>(v * across + u)];
            ++count;
          }
        }
        map[y][x] = count / inverse;
      }
    }
    return map;
  }
  at::Tensor LanguageMap(const at::Tensor& image, const at::Tensor& pair) const {
    at::Tensor inverse =
        at::full({grid_, grid_}, 1 / Defect(WholeFeature(image), pair), at::kDouble);
    for (const int side : {2, 3}) {
      std::vector<double> scores;
      for (const at::Tensor& feature : WindowFeatures(image, side))
        scores.push_back(Defect(feature, pair));
      inverse += 1 / Cover(scores, side);
    }
    return 3 / inverse;
  }
  at::Tensor AssociationMap(const at::Tensor& image,
                            const std::vector<at::Tensor>& references) const {
    at::Tensor nearest;
    for (const at::Tensor& reference : references) {
      const at::Tensor cosines = at::matmul(Patches(image), Patches(reference).t()).amax(1);
      nearest = nearest.defined() ? at::maximum(nearest, cosines) : cosines;
    }
    at::Tensor sum = ((1 - nearest) / 2).view({grid_, grid_}).to(at::kDouble);
    for (const int side : {2, 3}) {
      std::vector<at::Tensor> known;
      for (const at::Tensor& reference : references) {
        for (at::Tensor& feature : WindowFeatures(reference, side)) known.push_back(feature);
      }
      std::vector<double> scores;
      for (const at::Tensor& feature : WindowFeatures(image, side)) {
        double best = -1;
        for (const at::Tensor& other : known)
          best = std::max(best, at::dot(feature, other).item<double>());
        scores.push_back((1 - best) / 2);
      }
      sum += Cover(scores, side);
    }
    return sum / 3;
  }
  void ExpectMap(const Judgement& judgement, const at::Tensor& grid) const {
    const at::Tensor expected =
        model::UpsampleMaps(grid.to(at::kFloat).unsqueeze(0), model_.config().map_size)[0];
    EXPECT_LE((judgement.map - expected).abs().max().item<double>(), 1e-4);
    EXPECT_EQ(judgement.raw.map_max, judgement.map.max().item<float>());
  }

  const ClipModel model_;
  const PlainTower plain_;
  const int grid_ = model_.config().vision.grid();
  std::unique_ptr<Method> method_;
};

TEST_F(WinclipTest, ensemble_is_each_side_s_mean) {
  const auto ensemble = PromptEnsemble::Create(model_.config(), model_.files().weights,
                                               model_.files().merges, "winclip");
  ASSERT_TRUE(ensemble.ok());
  const auto pair = (*ensemble)->Pair("metal_nut");
  ASSERT_TRUE(pair.ok()) << pair.status();
  EXPECT_LE((*pair - Pair()).abs().max().item<double>(), 1e-5);
  EXPECT_GE((*pair - *(*ensemble)->Pair("screw")).abs().max().item<double>(), 1e-4);
  EXPECT_TRUE(at::equal(*(*ensemble)->Pair(""), *(*ensemble)->Pair("object")));
}

TEST_F(WinclipTest, without_references_is_its_formula) {
  const at::Tensor pair = Pair();
  for (const int number : {0, 1}) {
    const at::Tensor image = model_.Image(number);
    const auto detector = Fit({});
    const auto judgement = detector->Judge(See(image), false);
    ASSERT_TRUE(judgement.ok()) << judgement.status();
    EXPECT_NEAR(*judgement->raw.image, Defect(WholeFeature(image), pair), 1e-4);
    ExpectMap(*judgement, LanguageMap(image, pair));
    const std::vector<Scoring> scorings = detector->Score({judgement->raw});
    ASSERT_EQ(scorings.size(), 1);
    EXPECT_EQ(scorings[0].scores, std::vector<double>{*judgement->raw.image});
  }
}

TEST_F(WinclipTest, with_references_is_its_formula) {
  const at::Tensor pair = Pair(), image = model_.Image(0);
  for (const int count : {1, 2}) {
    std::vector<at::Tensor> references;
    for (int k = 0; k < count; ++k) references.push_back(model_.Image(3 + 2 * k));
    const auto judgement = Fit(references)->Judge(See(image), false);
    ASSERT_TRUE(judgement.ok()) << judgement.status();
    const at::Tensor association = AssociationMap(image, references);
    EXPECT_NEAR(*judgement->raw.image,
                (Defect(WholeFeature(image), pair) + association.max().item<double>()) / 2, 1e-4);
    ExpectMap(*judgement, LanguageMap(image, pair) + association);
  }
}

TEST_F(WinclipTest, a_reference_is_at_no_distance_from_itself) {
  const at::Tensor image = model_.Image(1);
  const auto alone = Fit({})->Judge(See(image), false),
             known = Fit({image})->Judge(See(image), false);
  ASSERT_TRUE(alone.ok() && known.ok());
  EXPECT_LE((alone->map - known->map).abs().max().item<double>(), 1e-6);
  EXPECT_NEAR(*known->raw.image, *alone->raw.image / 2, 1e-6);
}

TEST_F(WinclipTest, says_what_the_model_lacks) {
  model::ModelFiles files = model_.files();
  files.config.text.reset();
  const LoadedModel few_shot{.hfwa = model_.hfwa(), .files = files, .directory = ""};
  const auto method = MakeMethod("winclip", few_shot);
  EXPECT_TRUE(absl::IsFailedPrecondition(method.status()));
  EXPECT_THAT(std::string(method.status().message()), HasSubstr("no language side"));

  files = model_.files();
  files.config.text->context_length = 12;  // the longest prompt has 16
  const auto short_one =
      MakeMethod("winclip", {.hfwa = model_.hfwa(), .files = files, .directory = ""});
  ASSERT_TRUE(short_one.ok()) << short_one.status();
  EXPECT_TRUE(absl::IsFailedPrecondition((*short_one)->Fit({{}, "metal nut", 0}).status()));
}

}  // namespace
}  // namespace hfwa::lab
