#include "lab/train/inctrl.h"

#include <cmath>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/strings.h"
#include "lab/train/initial.h"

namespace hfwa::lab::train {
namespace {

constexpr double kTextScale = 100;  // CLIP's, of its cosines
constexpr double kPatchShare = 0.5;
constexpr int64_t kReduction = 4;
constexpr int64_t kHidden1 = 128, kHidden2 = 64;
constexpr double kNormEps = 1e-5;
constexpr double kMomentum = 0.1;  // of the running means and variances
constexpr double kLogMin = 1e-12;  // a probability of 0 costs much, not infinitely much

using Specs = std::vector<std::pair<std::string, std::vector<int64_t>>>;

void AddHead(const std::string& head, int64_t width, Specs& specs) {
  const int64_t sizes[] = {width, kHidden1, kHidden2, 1};
  for (int i = 1; i <= 3; ++i) {
    specs.push_back({absl::StrCat(head, ".linear_", i, ".weight"), {sizes[i], sizes[i - 1]}});
    specs.push_back({absl::StrCat(head, ".linear_", i, ".bias"), {sizes[i]}});
  }
  for (int i = 1; i <= 2; ++i) {
    for (const char* of : {"weight", "bias", "mean", "variance"}) {
      specs.push_back({absl::StrCat(head, ".norm_", i, ".", of), {sizes[i]}});
    }
  }
}

Specs SpecsOf(const model::ModelConfig& config) {
  const int64_t embedding = config.embed_dim,
                bottleneck = std::max(embedding / kReduction, int64_t{1});
  Specs specs = {{"adapter.linear_1.weight", {bottleneck, embedding}},
                 {"adapter.linear_2.weight", {embedding, bottleneck}}};
  AddHead("image_head", embedding, specs);
  AddHead("holistic_head", config.vision.patches(), specs);
  return specs;
}

bool Ends(const std::string& name, const char* end) { return absl::EndsWith(ToAbsl(name), end); }

// Follows the batches without a gradient.
bool IsRunning(const std::string& name) { return Ends(name, ".mean") || Ends(name, ".variance"); }

}  // namespace

at::Tensor LevelResiduals(const at::Tensor& query, const std::vector<at::Tensor>& references) {
  const at::Tensor rows = at::cat(references, 1);  // [n, K * L, E]
  return 1.0 - at::amax(at::matmul(query, rows.transpose(1, 2)), -1);
}

at::Tensor TextPrior(const at::Tensor& features, const at::Tensor& pairs) {
  const at::Tensor unit = features / features.norm(2, {-1}, /*keepdim=*/true);
  const at::Tensor cosines = at::matmul(pairs, unit.unsqueeze(2)).squeeze(2);
  return at::softmax(kTextScale * cosines, 1).select(1, 1);
}

at::Tensor BinaryFocalLoss(const at::Tensor& probabilities, const at::Tensor& labels) {
  const at::Tensor own = labels * probabilities + (1.0 - labels) * (1.0 - probabilities);
  return -((1.0 - own).square() * own.clamp_min(kLogMin).log()).mean();
}

Tensors Inctrl::Initial(const model::ModelConfig& config, uint64_t seed) {
  Tensors tensors;
  for (const auto& [name, shape] : SpecsOf(config)) {
    if (Ends(name, ".mean") || (Ends(name, ".bias") && absl::StrContains(ToAbsl(name), ".norm_"))) {
      tensors[name] = at::zeros(shape, at::kFloat);
    } else if (absl::StrContains(ToAbsl(name), ".norm_")) {
      tensors[name] = at::ones(shape, at::kFloat);
    } else {
      // A bias starts in the range of its weight, which comes before it.
      const at::Tensor* weight = nullptr;
      if (Ends(name, ".bias")) {
        weight = &tensors.at(absl::StrCat(name.substr(0, name.size() - 4), "weight"));
      }
      const auto fan_in = static_cast<double>(weight != nullptr ? weight->size(1) : shape[1]);
      Random random(seed, absl::StrCat("inctrl.", name));
      tensors[name] = DrawUniform(shape, 1.0 / std::sqrt(fan_in), random);
    }
  }
  return tensors;
}

absl::StatusOr<std::unique_ptr<Inctrl>> Inctrl::Create(const model::ModelConfig& config,
                                                       const Tensors& tensors, at::Device device) {
  std::unique_ptr<Inctrl> inctrl(new Inctrl());
  for (const auto& [name, shape] : SpecsOf(config)) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", name, " is missing"));
    }
    const at::Tensor& given = found->second;
    if (given.sizes() != at::IntArrayRef(shape) || given.scalar_type() != at::kFloat ||
        !at::isfinite(given).all().item<bool>()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor ", name, " has another shape or type than the model, or values not finite"));
    }
    const at::Tensor leaf =
        given.detach().to(device, at::kFloat, false, /*copy=*/true).contiguous();
    inctrl->parameters_[name] = leaf.set_requires_grad(!IsRunning(name));
  }
  return inctrl;
}

at::Tensor Inctrl::Adapt(const at::Tensor& features) const {
  const at::Tensor narrow = at::relu(at::linear(features, Get("adapter.linear_1.weight")));
  return at::relu(at::linear(narrow, Get("adapter.linear_2.weight")));
}

at::Tensor Inctrl::Normed(const std::string& norm, const at::Tensor& x, BatchNorms* batch) const {
  at::Tensor mean = Get(norm + ".mean"), variance = Get(norm + ".variance");
  if (batch != nullptr) {
    mean = x.mean(0);
    variance = (x - mean).square().mean(0);
    (*batch)[norm + ".mean"] = mean.detach();
    // The running one has no bias.
    const auto count = static_cast<double>(x.size(0));
    (*batch)[norm + ".variance"] = variance.detach() * (count / (count - 1.0));
  }
  return (x - mean) / at::sqrt(variance + kNormEps) * Get(norm + ".weight") + Get(norm + ".bias");
}

at::Tensor Inctrl::Head(const std::string& head, const at::Tensor& x, BatchNorms* batch) const {
  const auto linear = [&](int i, const at::Tensor& y) {
    const std::string name = absl::StrCat(head, ".linear_", i);
    return at::linear(y, Get(name + ".weight"), Get(name + ".bias"));
  };
  const at::Tensor y = Normed(head + ".norm_1", at::relu(linear(1, x)), batch);
  const at::Tensor z = Normed(head + ".norm_2", at::relu(linear(2, y)), batch);
  return at::sigmoid(linear(3, z)).squeeze(1);
}

InctrlScores Inctrl::Forward(const InctrlInput& input, BatchNorms* batch) const {
  std::vector<at::Tensor> means;
  means.reserve(input.references.size());
  for (const at::Tensor& references : input.references) means.push_back(Adapt(references).mean(0));
  InctrlScores scores;
  scores.image = Head("image_head", Adapt(input.features) - at::stack(means), batch);
  const at::Tensor map = input.residuals + (scores.image + input.prior).unsqueeze(1);
  const at::Tensor holistic = Head("holistic_head", map, batch);
  scores.score = 0.5 * (holistic + kPatchShare * at::amax(input.residuals, -1));
  return scores;
}

InctrlScores Inctrl::Score(const InctrlInput& input) const {
  const at::NoGradGuard no_grad;
  return Forward(input, nullptr);
}

InctrlScores Inctrl::Train(const InctrlInput& input) {
  if (input.features.size(0) < 2) return Forward(input, nullptr);
  BatchNorms batch;
  InctrlScores scores = Forward(input, &batch);
  const at::NoGradGuard no_grad;
  for (const auto& [name, value] : batch) parameters_.at(name).lerp_(value, kMomentum);
  return scores;
}

}  // namespace hfwa::lab::train
