#pragma once

// The differentiable part of HFWA (training spec, section 2): contexts, adapters and text linear
// over the frozen towers. It runs core's own adapters, prompts and text tower on kernels that
// autograd can follow, so what is trained is what is served.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/kernels/kernels.h"
#include "core/model/adapter.h"
#include "core/model/config.h"
#include "core/model/prompts.h"
#include "core/model/text_tower.h"
#include "core/model/vision_tower.h"
#include "core/model/weights.h"
#include "lab/train/autograd_kernels.h"

namespace hfwa::lab::train {

using Tensors = std::map<std::string, at::Tensor>;
// As they are now, on the CPU and without gradients.
Tensors OnCpu(const Tensors& tensors);

// True for the names of spec 9.2, which are all that trains.
bool IsLearnt(const std::string& name);

// Initial values of every learnt tensor (training spec 2.2), a function of name and seed.
Tensors InitialTensors(const model::ModelConfig& config, uint64_t seed);

// What the frozen vision tower gives for B images, all that training sees of them where the
// adapters do not feed back: taps per level [B, L, W] without the class token, feature [B, E].
struct Features {
  std::vector<at::Tensor> taps;
  at::Tensor image;
};

// B images, n levels, grid g, map side S. All fp32 and differentiable.
struct TrainForward {
  at::Tensor text_probs;                 // [B, 2]
  std::vector<at::Tensor> grid_logits;   // per level [B, g, g]: anomaly minus normal cosine
  std::vector<at::Tensor> pixel_logits;  // per level [B, S, S]: the same, upsampled (spec 6.5)
};

struct LearnableOptions {
  at::Device device = at::kCPU;
  at::ScalarType type = at::kFloat;  // of linear maps: fp32 or bf16
};

class Learnable {
 public:
  // `frozen` holds every frozen tensor on the CPU, `learnt` every learnt one, from InitialTensors
  // or from a file. INVALID_ARGUMENT or NOT_FOUND where one is missing or misshapen.
  static absl::StatusOr<std::unique_ptr<Learnable>> Create(const model::ModelConfig& config,
                                                           const model::Weights& frozen,
                                                           const Tensors& learnt,
                                                           const model::PromptTokens& tokens,
                                                           const LearnableOptions& options);

  // Leaves on the device, by the names of spec 9.2. An adapter that levels share is there once.
  const Tensors& parameters() const { return parameters_; }
  // The adapters that feed back need images, not features (spec 8).
  bool needs_images() const { return config_.residual_encoder; }

  // `classes` [B] int64 on the device. Without a seed nothing is dropped.
  absl::StatusOr<TrainForward> Forward(const Features& features, const at::Tensor& classes);
  // images [B, 3, S, S] on the device, for adapters that feed back.
  absl::StatusOr<TrainForward> ForwardImages(const at::Tensor& images, const at::Tensor& classes);
  // Dropout of the next forward passes.
  void StartDropout(uint64_t seed) { dropout_->Start(seed); }
  void StopDropout() { dropout_->Stop(); }

 private:
  Learnable(const model::ModelConfig& config, const LearnableOptions& options);
  // Of the frozen tensors.
  bool Needs(const std::string& name) const;
  absl::Status Load(const model::Weights& frozen, const Tensors& learnt);
  // Of this step's values, normalised: [B, 2, E].
  absl::StatusOr<at::Tensor> TextPairs(const at::Tensor& classes) const;
  absl::StatusOr<std::unique_ptr<model::Adapter>> MakeAdapter(int level) const;
  at::Tensor GridLogits(int level, const at::Tensor& adapted, const at::Tensor& pairs) const;
  TrainForward Finish(const at::Tensor& image_feature, std::vector<at::Tensor> grids,
                      const at::Tensor& pairs) const;

  const model::ModelConfig config_;
  const LearnableOptions options_;
  model::PromptTokens tokens_;
  std::shared_ptr<Dropout> dropout_;
  std::shared_ptr<const kernels::Kernels> frozen_kernels_;   // towers
  std::shared_ptr<const kernels::Kernels> adapter_kernels_;  // the same with dropout
  model::Weights weights_;  // on the device: frozen tensors, and the leaves by every name
  Tensors parameters_;
  std::unique_ptr<model::TextTower> text_tower_;
  at::Tensor fixed_rows_;  // what the tower gives for fixed prompts, computed once
  std::unique_ptr<model::VisionTower> vision_tower_;           // where the adapters feed back
  std::vector<std::unique_ptr<kernels::Linear>> projections_;  // of each level
  std::vector<std::shared_ptr<const kernels::Linear>> out_projections_;  // per level
  at::Tensor upsampling_;                                                // [S, g]
};

}  // namespace hfwa::lab::train
