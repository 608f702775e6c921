#pragma once

#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/kernels/kernels.h"
#include "core/model/config.h"
#include "core/model/vision_tower.h"
#include "core/model/weights.h"
#include "lab/train/learnable.h"

namespace hfwa::lab::train {

// The frozen vision tower, without gradients, on the fastest kernels of the device.
class Backbone {
 public:
  static absl::StatusOr<std::unique_ptr<Backbone>> Create(const model::ModelConfig& config,
                                                          const model::Weights& weights,
                                                          at::Device device, at::ScalarType type);

  // Floats of one image's features: taps, then the image feature.
  static int64_t Values(const model::ModelConfig& config);
  // image [3, S, S] -> [Values()] fp32 on the device. Images go one by one, so that the numbers do
  // not depend on what shares the batch, nor on what was cached. LibTorch's exceptions pass
  // through.
  at::Tensor Compute(const at::Tensor& image) const;
  // [B, Values()] on the device -> views of it.
  Features Split(const at::Tensor& rows) const;
  // What the values depend on, besides the frozen weights.
  std::string Fingerprint() const;

 private:
  explicit Backbone(const model::ModelConfig& config) : config_(config) {}

  const model::ModelConfig config_;
  std::unique_ptr<kernels::Kernels> kernels_;
  std::unique_ptr<model::VisionTower> tower_;
};

}  // namespace hfwa::lab::train
