#include "lab/train/learnable.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/model/layers.h"
#include "core/model/text_features.h"
#include "core/model/torch_errors.h"

namespace hfwa::lab::train {
namespace {

constexpr double kCosineEpsilon = 1e-12;

at::Tensor Unit(const at::Tensor& x) {
  return x / x.norm(2, {-1}, /*keepdim=*/true).clamp_min(kCosineEpsilon);
}

// Corner-aligned bilinear resizing along one axis as a matrix [size, grid], whose product has a
// gradient that repeats to the bit on every device.
at::Tensor UpsamplingMatrix(int grid, int size) {
  at::Tensor matrix = at::zeros({size, grid}, at::kFloat);
  auto weights = matrix.accessor<float, 2>();
  for (int o = 0; o < size; ++o) {
    const double place = size == 1 ? 0.0 : static_cast<double>(o) * (grid - 1) / (size - 1);
    const int below = std::min(static_cast<int>(place), grid - 1);
    const double part = place - below;
    weights[o][below] += static_cast<float>(1.0 - part);
    if (below + 1 < grid) weights[o][below + 1] += static_cast<float>(part);
  }
  return matrix;
}

}  // namespace

Tensors OnCpu(const Tensors& tensors) {
  Tensors copies;
  for (const auto& [name, tensor] : tensors) copies[name] = tensor.detach().to(at::kCPU);
  return copies;
}

Learnable::Learnable(const model::ModelConfig& config, const LearnableOptions& options)
    : config_(config), options_(options), dropout_(std::make_shared<Dropout>(options.device)) {
  AutogradOptions kernels;
  kernels.device = options.device;
  kernels.type = options.type;
  frozen_kernels_ = MakeAutogradKernels(kernels);
  kernels.attention_drop = config.adapter.attn_drop;
  kernels.drop = config.adapter.drop;
  kernels.dropout = dropout_;
  adapter_kernels_ = MakeAutogradKernels(kernels);
}

absl::StatusOr<std::unique_ptr<Learnable>> Learnable::Create(const model::ModelConfig& config,
                                                             const model::Weights& frozen,
                                                             const Tensors& learnt,
                                                             const model::PromptTokens& tokens,
                                                             const LearnableOptions& options) {
  if (!config.has_language())
    return absl::InvalidArgumentError("a model without text learns nothing");
  HFWA_RETURN_IF_ERROR(model::CheckPromptTokens(config, tokens));
  std::unique_ptr<Learnable> learnable(new Learnable(config, options));
  learnable->tokens_ = {tokens.normal.to(options.device), tokens.anomaly.to(options.device)};
  HFWA_RETURN_IF_ERROR(model::CatchTorchErrors([&] { return learnable->Load(frozen, learnt); }));
  return learnable;
}

// The rest of the vision tower is the backbone's.
bool Learnable::Needs(const std::string& name) const {
  if (needs_images() || !absl::StartsWith(ToAbsl(name), "visual.")) return true;
  if (name == "visual.proj" || absl::StartsWith(ToAbsl(name), "visual.level_projections."))
    return true;
  return std::any_of(config_.taps.begin(), config_.taps.end(), [&](int tap) {
    return absl::StartsWith(ToAbsl(name),
                            absl::StrCat("visual.transformer.resblocks.", tap, ".attn."));
  });
}

absl::Status Learnable::Load(const model::Weights& frozen, const Tensors& learnt) {
  model::Weights all = frozen;
  for (const auto& [name, tensor] : learnt) all.Set(name, tensor);
  HFWA_RETURN_IF_ERROR(model::CheckWeights(config_, all));
  for (const model::TensorSpec& spec : model::RequiredTensors(config_)) {
    const at::Tensor& given = all.tensors().at(spec.name);
    if (IsLearnt(spec.name)) {
      at::Tensor leaf = given.to(options_.device, at::kFloat, false, /*copy=*/true).contiguous();
      parameters_[spec.name] = leaf.set_requires_grad(true);
      weights_.Set(spec.name, leaf);
    } else if (Needs(spec.name)) {
      weights_.Set(spec.name, given.to(options_.device));
    }
  }
  model::ResolveAliases(config_, weights_);

  HFWA_ASSIGN_OR_RETURN(text_tower_, model::TextTower::Load(config_, weights_, frozen_kernels_));
  if (config_.prompt.type == model::PromptConfig::Type::kFixed) {
    HFWA_ASSIGN_OR_RETURN(fixed_rows_, model::EncodePrompts(config_, weights_, tokens_,
                                                            *text_tower_, model::Trace()));
  }
  if (needs_images()) {
    HFWA_ASSIGN_OR_RETURN(vision_tower_,
                          model::VisionTower::Load(config_, weights_, *frozen_kernels_));
  }
  const int width = config_.vision.width;
  for (int level = 0; level < config_.levels(); ++level) {
    const int tap = config_.taps[level];
    HFWA_ASSIGN_OR_RETURN(const kernels::LinearWeights projection,
                          model::LoadTokenProjection(config_, weights_, level));
    projections_.push_back(frozen_kernels_->PackLinear(projection));
    HFWA_ASSIGN_OR_RETURN(
        const kernels::LinearWeights out_proj,
        model::LoadLinear(weights_,
                          absl::StrCat("visual.transformer.resblocks.", tap, ".attn.out_proj"),
                          width, width, /*bias=*/true));
    out_projections_.push_back(adapter_kernels_->PackLinear(out_proj));
  }
  upsampling_ = UpsamplingMatrix(config_.vision.grid(), config_.map_size).to(options_.device);
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> Learnable::TextPairs(const at::Tensor& classes) const {
  at::Tensor rows = fixed_rows_;
  if (!rows.defined()) {
    HFWA_ASSIGN_OR_RETURN(
        rows, model::EncodePrompts(config_, weights_, tokens_, *text_tower_, model::Trace()));
  }
  HFWA_ASSIGN_OR_RETURN(const at::Tensor pooled,
                        model::PoolPrompts(config_, weights_, tokens_, rows, model::Trace()));
  return Unit(pooled).index_select(0, classes);
}

// Made anew for each step: what it holds is computed from the leaves' present values.
absl::StatusOr<std::unique_ptr<model::Adapter>> Learnable::MakeAdapter(int level) const {
  return model::LoadAdapter(config_, weights_, level, out_projections_[level], *adapter_kernels_,
                            model::Trace());
}

at::Tensor Learnable::GridLogits(int level, const at::Tensor& adapted,
                                 const at::Tensor& pairs) const {
  const int64_t grid = config_.vision.grid();
  const at::Tensor features = projections_[level]->Apply(adapted).to(at::kFloat);
  const at::Tensor logits = at::matmul(pairs, Unit(features).transpose(1, 2));  // [B, 2, L]
  return (logits.select(1, 1) - logits.select(1, 0)).view({-1, grid, grid});
}

TrainForward Learnable::Finish(const at::Tensor& image_feature, std::vector<at::Tensor> grids,
                               const at::Tensor& pairs) const {
  TrainForward forward;
  const at::Tensor logits = at::matmul(pairs, Unit(image_feature).unsqueeze(2)).squeeze(2);
  forward.text_probs = at::softmax(logits / config_.temperature, 1);
  for (const at::Tensor& grid : grids) {
    forward.pixel_logits.push_back(at::matmul(at::matmul(upsampling_, grid), upsampling_.t()));
  }
  forward.grid_logits = std::move(grids);
  return forward;
}

absl::StatusOr<TrainForward> Learnable::Forward(const Features& features,
                                                const at::Tensor& classes) {
  return model::CatchTorchErrors([&]() -> absl::StatusOr<TrainForward> {
    HFWA_ASSIGN_OR_RETURN(const at::Tensor pairs, TextPairs(classes));
    std::vector<at::Tensor> grids;
    for (int level = 0; level < config_.levels(); ++level) {
      HFWA_ASSIGN_OR_RETURN(const auto adapter, MakeAdapter(level));
      const kernels::Tokens tokens = adapter_kernels_->TokensOf(features.taps[level]);
      grids.push_back(GridLogits(level, adapter->Apply(tokens, model::Trace()).value, pairs));
    }
    return Finish(features.image, std::move(grids), pairs);
  });
}

absl::StatusOr<TrainForward> Learnable::ForwardImages(const at::Tensor& images,
                                                      const at::Tensor& classes) {
  return model::CatchTorchErrors([&]() -> absl::StatusOr<TrainForward> {
    HFWA_ASSIGN_OR_RETURN(const at::Tensor pairs, TextPairs(classes));
    std::vector<std::unique_ptr<model::Adapter>> adapters;
    for (int level = 0; level < config_.levels(); ++level) {
      HFWA_ASSIGN_OR_RETURN(adapters.emplace_back(), MakeAdapter(level));
    }
    std::vector<at::Tensor> grids(adapters.size());
    const auto visit = [&](int level, at::Tensor& x) {
      const at::Tensor patches = x.slice(1, 1);
      const at::Tensor adapted =
          adapters[level]->Apply(adapter_kernels_->TokensOf(patches), model::Trace()).value;
      grids[level] = GridLogits(level, adapted, pairs);
      // Spec 8, out of place.
      const at::Tensor mixed = (1.0 - config_.gamma) * patches + config_.gamma * adapted;
      x = at::cat({x.slice(1, 0, 1), mixed}, 1);
    };
    const at::Tensor feature =
        vision_tower_->Forward(images, /*want_image_feature=*/true, visit, model::Trace());
    return Finish(feature, std::move(grids), pairs);
  });
}

}  // namespace hfwa::lab::train
