#include "lab/train/backbone.h"

#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/torch_errors.h"
#include "lab/learnt_file.h"

namespace hfwa::lab::train {

absl::StatusOr<std::unique_ptr<Backbone>> Backbone::Create(const model::ModelConfig& config,
                                                           const model::Weights& weights,
                                                           at::Device device, at::ScalarType type) {
  const at::NoGradGuard no_grad;
  std::unique_ptr<Backbone> backbone(new Backbone(config));
  const absl::Status loaded = model::CatchTorchErrors([&]() -> absl::Status {
    backbone->kernels_ = kernels::MakeKernels(device, type);
    HFWA_ASSIGN_OR_RETURN(backbone->tower_,
                          model::VisionTower::Load(config, weights, *backbone->kernels_));
    return absl::OkStatus();
  });
  HFWA_RETURN_IF_ERROR(loaded);
  return backbone;
}

int64_t Backbone::Values(const model::ModelConfig& config) {
  return int64_t{config.levels()} * config.vision.patches() * config.vision.width +
         config.embed_dim;
}

at::Tensor Backbone::Compute(const at::Tensor& image) const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> parts(config_.taps.size());
  const at::Tensor input = image.unsqueeze(0).to(kernels_->device(), at::kFloat).contiguous();
  const at::Tensor feature = tower_->Forward(
      input, /*want_image_feature=*/true,
      [&](int level, at::Tensor& x) { parts[level] = x.slice(1, 1).flatten().clone(); },
      model::Trace());
  parts.push_back(feature.flatten());
  return at::cat(parts);
}

Features Backbone::Split(const at::Tensor& rows) const {
  const int64_t batch = rows.size(0), patches = config_.vision.patches(),
                width = config_.vision.width;
  Features features;
  for (int level = 0; level < config_.levels(); ++level) {
    features.taps.push_back(rows.narrow(1, level * patches * width, patches * width)
                                .view({batch, patches, width})
                                .contiguous());
  }
  features.image = rows.narrow(1, config_.levels() * patches * width, config_.embed_dim);
  return features;
}

std::string Backbone::Fingerprint() const {
  return absl::StrCat(VisionFingerprint(config_), " kernels=", kernels_->name(), "/",
                      at::toString(kernels_->compute_type()), "/",
                      kernels_->device().is_cpu() ? "cpu" : "cuda");
}

}  // namespace hfwa::lab::train
