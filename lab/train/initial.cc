// Initial values in general (initial.h) and of the learnt tensors (learnable.h).

#include <cmath>

#include <ATen/ATen.h>

#include "absl/strings/match.h"
#include "core/base/strings.h"
#include "lab/train/initial.h"
#include "lab/train/learnable.h"

namespace hfwa::lab::train {
namespace {

constexpr double kContextDeviation = 0.02;
constexpr double kInitialScale = 10.0;

template <typename Draw>
at::Tensor Filled(const std::vector<int64_t>& shape, Draw draw) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* values = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) values[i] = static_cast<float>(draw());
  return tensor;
}

// A bias starts in the range of its weight, whose fan-in its own shape does not show.
int64_t FanIn(const model::ModelConfig& config, const model::TensorSpec& spec) {
  if (spec.shape.size() == 2) return spec.shape[1];
  return absl::EndsWith(ToAbsl(spec.name), "cpb_mlp.0.bias") ? 2 : config.embed_dim;
}

at::Tensor Initial(const model::ModelConfig& config, const model::TensorSpec& spec, uint64_t seed) {
  const auto ends = [&](const char* end) { return absl::EndsWith(ToAbsl(spec.name), end); };
  Random random(seed, spec.name);
  if (absl::StartsWith(ToAbsl(spec.name), "prompt_learner.")) {
    return DrawNormal(spec.shape, kContextDeviation, random);
  }
  if (ends("norm1.weight") || ends("norm2.weight")) return at::ones(spec.shape, at::kFloat);
  if (ends("norm1.bias") || ends("norm2.bias")) return at::zeros(spec.shape, at::kFloat);
  if (ends("logit_scale")) return at::full(spec.shape, std::log(kInitialScale), at::kFloat);
  return DrawUniform(spec.shape, 1.0 / std::sqrt(static_cast<double>(FanIn(config, spec))), random);
}

}  // namespace

at::Tensor DrawUniform(const std::vector<int64_t>& shape, double bound, Random& random) {
  return Filled(shape, [&] { return bound * (2.0 * random.Uniform() - 1.0); });
}

at::Tensor DrawNormal(const std::vector<int64_t>& shape, double deviation, Random& random) {
  return Filled(shape, [&] { return deviation * random.Normal(); });
}

bool IsLearnt(const std::string& name) {
  for (const char* prefix : {"visual_encoder.", "prompt_learner.", "cross_fusion."}) {
    if (absl::StartsWith(ToAbsl(name), prefix)) return true;
  }
  return false;
}

Tensors InitialTensors(const model::ModelConfig& config, uint64_t seed) {
  Tensors tensors;
  for (const model::TensorSpec& spec : model::RequiredTensors(config)) {
    if (IsLearnt(spec.name)) tensors[spec.name] = Initial(config, spec, seed);
  }
  return tensors;
}

}  // namespace hfwa::lab::train
