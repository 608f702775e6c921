#include "core/model/layers.h"

#include <vector>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace hfwa::model {

absl::StatusOr<kernels::LinearWeights> LoadLinear(const Weights& weights, const std::string& name,
                                                  int out, int in, bool bias) {
  kernels::LinearWeights linear;
  HFWA_ASSIGN_OR_RETURN(linear.weight, weights.Get(name + ".weight", {out, in}));
  if (bias) {
    HFWA_ASSIGN_OR_RETURN(linear.bias, weights.Get(name + ".bias", {out}));
  }
  return linear;
}

absl::StatusOr<kernels::LinearWeights> LoadTokenProjection(const ModelConfig& config,
                                                           const Weights& weights, int level) {
  kernels::LinearWeights linear;
  const int width = config.vision.width;
  if (config.vision.level_projections) {
    HFWA_ASSIGN_OR_RETURN(linear,
                          LoadLinear(weights, absl::StrCat("visual.level_projections.", level),
                                     config.embed_dim, width, /*bias=*/true));
  } else {
    HFWA_ASSIGN_OR_RETURN(const at::Tensor projection,
                          weights.Get("visual.proj", {width, config.embed_dim}));
    linear.weight = projection.t();
  }
  linear.sensitive = true;
  return linear;
}

absl::StatusOr<kernels::Norm> LoadNorm(const Weights& weights, const std::string& name, int width,
                                       double eps, const kernels::Kernels& kernels) {
  kernels::Norm norm;
  norm.eps = eps;
  HFWA_ASSIGN_OR_RETURN(const at::Tensor weight, weights.Get(name + ".weight", {width}));
  HFWA_ASSIGN_OR_RETURN(const at::Tensor bias, weights.Get(name + ".bias", {width}));
  norm.weight = weight.to(kernels.device(), at::kFloat);
  norm.bias = bias.to(kernels.device(), at::kFloat);
  return norm;
}

absl::StatusOr<TransformerBlock> TransformerBlock::Load(const Weights& weights,
                                                        const std::string& prefix, int width,
                                                        int heads, double eps,
                                                        kernels::Activation activation,
                                                        const kernels::Kernels& kernels) {
  TransformerBlock block;
  block.kernels_ = &kernels;
  block.heads_ = heads;
  HFWA_ASSIGN_OR_RETURN(block.ln_1_, LoadNorm(weights, prefix + "ln_1", width, eps, kernels));
  HFWA_ASSIGN_OR_RETURN(block.ln_2_, LoadNorm(weights, prefix + "ln_2", width, eps, kernels));
  kernels::LinearWeights in_proj;
  HFWA_ASSIGN_OR_RETURN(in_proj.weight,
                        weights.Get(prefix + "attn.in_proj_weight", {3 * width, width}));
  HFWA_ASSIGN_OR_RETURN(in_proj.bias, weights.Get(prefix + "attn.in_proj_bias", {3 * width}));
  block.in_proj_ = kernels.PackLinear(in_proj);
  HFWA_ASSIGN_OR_RETURN(const kernels::LinearWeights out_proj,
                        LoadLinear(weights, prefix + "attn.out_proj", width, width, /*bias=*/true));
  block.out_proj_ = kernels.PackLinear(out_proj);
  HFWA_ASSIGN_OR_RETURN(const kernels::LinearWeights c_fc,
                        LoadLinear(weights, prefix + "mlp.c_fc", 4 * width, width, /*bias=*/true));
  HFWA_ASSIGN_OR_RETURN(
      const kernels::LinearWeights c_proj,
      LoadLinear(weights, prefix + "mlp.c_proj", width, 4 * width, /*bias=*/true));
  block.mlp_ = kernels.PackMlp({c_fc, c_proj}, activation);
  return block;
}

at::Tensor TransformerBlock::ApplyNormed(at::Tensor& x, const at::Tensor& normed, bool causal,
                                         const TransformerBlock* next, at::Tensor* values) const {
  const at::Tensor qkv = in_proj_->Apply(normed);
  if (values != nullptr) {
    const at::Tensor v = qkv.chunk(3, -1)[2];
    out_proj_->AddTo(*values, kernels_->Attention(at::cat({v, v, v}, -1), heads_, causal));
  }
  const at::Tensor inner =
      kernels_->AddThenNorm(*out_proj_, x, kernels_->Attention(qkv, heads_, causal), ln_2_);
  if (next != nullptr) return kernels_->AddThenNorm(*mlp_, x, inner, next->ln_1_);
  mlp_->AddTo(x, inner);
  return {};
}

}  // namespace hfwa::model
