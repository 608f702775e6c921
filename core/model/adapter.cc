#include "core/model/adapter.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/kernels/windows.h"
#include "core/model/layers.h"
#include "core/model/position_bias.h"

namespace hfwa::model {
namespace {

constexpr double kNormEps = 1e-5;
constexpr double kLogitScaleMax = 100.0;

absl::StatusOr<std::vector<kernels::LinearWeights>> LoadLayers(const ModelConfig& config,
                                                               const Weights& weights, int level,
                                                               int block) {
  std::vector<kernels::LinearWeights> layers;
  for (const AdapterLayer& layer : AdapterLayers(config, level, block)) {
    HFWA_ASSIGN_OR_RETURN(at::Tensor weight, weights.Get(layer.name, {layer.out, layer.in}));
    layers.push_back({std::move(weight), {}});
  }
  return layers;
}

class NoAdapter final : public Adapter {
 public:
  kernels::Tokens Apply(const kernels::Tokens& tokens, const Trace& /*trace*/) const override {
    return tokens;
  }
};

class LinearAdapter final : public Adapter {
 public:
  explicit LinearAdapter(std::unique_ptr<kernels::Mlp> mlp) : mlp_(std::move(mlp)) {}
  kernels::Tokens Apply(const kernels::Tokens& tokens, const Trace& /*trace*/) const override {
    const at::Tensor adapted = mlp_->Apply(tokens.for_linear);
    return {adapted.to(at::kFloat), adapted};
  }

 private:
  std::unique_ptr<kernels::Mlp> mlp_;
};

struct FwaBlock {
  kernels::WindowAttention attention;
  kernels::Norm norm1;
  kernels::Norm norm2;
  std::unique_ptr<kernels::Mlp> mlp;
};

class FwaAdapter final : public Adapter {
 public:
  FwaAdapter(std::vector<FwaBlock> blocks, bool traced, const kernels::Kernels& kernels)
      : blocks_(std::move(blocks)), traced_(traced), kernels_(kernels) {}

  kernels::Tokens Apply(const kernels::Tokens& tokens, const Trace& trace) const override {
    kernels::Tokens x = tokens;
    for (size_t j = 0; j < blocks_.size(); ++j) {
      x = ApplyBlock(blocks_[j], x, traced_ && j == 0 ? trace : Trace());
    }
    return x;
  }

 private:
  // Post-norm: the norm is on the branch, the sum is not normalised.
  kernels::Tokens ApplyBlock(const FwaBlock& block, const kernels::Tokens& x,
                             const Trace& trace) const {
    const kernels::WindowAttention& attention = block.attention;
    const at::Tensor attended = kernels_.AttendInWindows(x.for_linear, attention);
    if (trace) {
      trace("fwa0.window_attention",
            kernels::CutWindows(attended, attention.grid, attention.window, attention.shift));
      trace("fwa0.norm1", kernels_.LayerNorm(attended, block.norm1));
    }
    const kernels::Tokens y = kernels_.AddNormed(x.value, attended, block.norm1);
    return kernels_.AddNormed(y.value, block.mlp->Apply(y.for_linear), block.norm2);
  }

  std::vector<FwaBlock> blocks_;
  bool traced_;
  const kernels::Kernels& kernels_;
};

class FwaLoader {
 public:
  FwaLoader(const ModelConfig& config, const Weights& weights, int level,
            const kernels::Kernels& kernels, const Trace& trace)
      : config_(config), weights_(weights), level_(level), kernels_(kernels), trace_(trace) {}

  absl::StatusOr<std::unique_ptr<Adapter>> Load(
      const std::shared_ptr<const kernels::Linear>& out_proj) {
    HFWA_ASSIGN_OR_RETURN(const std::shared_ptr<const kernels::Linear> in_proj, LoadInProjection());
    std::vector<FwaBlock> blocks;
    for (int j = 0; j < config_.adapter.depth; ++j) {
      HFWA_ASSIGN_OR_RETURN(FwaBlock block, LoadBlock(j));
      block.attention.in_proj = in_proj;
      block.attention.out_proj = out_proj;
      blocks.push_back(std::move(block));
    }
    return std::make_unique<FwaAdapter>(std::move(blocks), level_ == 0, kernels_);
  }

 private:
  // The tapped block's packed projection without its bias; value-only windows need the rows of V
  // alone.
  absl::StatusOr<std::shared_ptr<const kernels::Linear>> LoadInProjection() const {
    const int width = config_.vision.width;
    HFWA_ASSIGN_OR_RETURN(at::Tensor weight,
                          weights_.Get(absl::StrCat("visual.transformer.resblocks.",
                                                    config_.taps[level_], ".attn.in_proj_weight"),
                                       {3 * width, width}));
    if (config_.adapter.value_only) weight = weight.slice(0, 2 * width, 3 * width);
    return kernels_.PackLinear({weight, {}});
  }

  absl::StatusOr<FwaBlock> LoadBlock(int j) const {
    const int width = config_.vision.width, heads = config_.adapter.heads;
    const std::string prefix = absl::StrCat("visual_encoder.adapters.", level_, ".blocks.", j, ".");
    FwaBlock block;
    HFWA_ASSIGN_OR_RETURN(block.norm1,
                          LoadNorm(weights_, prefix + "norm1", width, kNormEps, kernels_));
    HFWA_ASSIGN_OR_RETURN(block.norm2,
                          LoadNorm(weights_, prefix + "norm2", width, kNormEps, kernels_));
    HFWA_ASSIGN_OR_RETURN(const std::vector<kernels::LinearWeights> layers,
                          LoadLayers(config_, weights_, level_, j));
    block.mlp = kernels_.PackMlp(layers, kernels::Activation::kGelu);

    kernels::WindowAttention& attention = block.attention;
    attention.grid = config_.vision.grid();
    attention.window = config_.effective_window();
    attention.shift = attention.window < attention.grid && j % 2 == 1 ? attention.window / 2 : 0;
    attention.order = kernels::WindowOrder(attention.grid, attention.window, attention.shift)
                          .to(kernels_.device());
    attention.heads = heads;
    attention.value_only = config_.adapter.value_only;
    HFWA_ASSIGN_OR_RETURN(const at::Tensor scale,
                          weights_.Get(prefix + "attn.logit_scale", {heads, 1, 1}));
    attention.scale = scale.clamp_max(std::log(kLogitScaleMax)).exp().to(kernels_.device());
    HFWA_ASSIGN_OR_RETURN(const at::Tensor bias,
                          LoadPositionBias(prefix, attention.window, j == 0));
    attention.bias = bias.unsqueeze(0);  // [1, heads, N, N]
    if (attention.shift > 0) {
      const at::Tensor mask = kernels::ShiftMask(attention.grid, attention.window, attention.shift);
      attention.bias = attention.bias + mask.unsqueeze(1);  // [windows, heads, N, N]
    }
    attention.bias = attention.bias.to(kernels_.device()).contiguous();
    return block;
  }

  absl::StatusOr<at::Tensor> LoadPositionBias(const std::string& prefix, int window,
                                              bool first_block) const {
    const int hidden = config_.adapter.cpb_dim, heads = config_.adapter.heads;
    PositionNet net;
    HFWA_ASSIGN_OR_RETURN(
        net.first, LoadLinear(weights_, prefix + "attn.cpb_mlp.0", hidden, 2, /*bias=*/true));
    HFWA_ASSIGN_OR_RETURN(net.second,
                          weights_.Get(prefix + "attn.cpb_mlp.2.weight", {heads, hidden}));
    const at::Tensor bias = PositionBias(window, net);
    if (level_ == 0 && first_block) {
      Emit(trace_, "fwa0.coords", OffsetCoordinates(window));
      Emit(trace_, "fwa0.index", OffsetIndex(window));
      Emit(trace_, "fwa0.position_bias", bias);
    }
    return bias;
  }

  const ModelConfig& config_;
  const Weights& weights_;
  const int level_;
  const kernels::Kernels& kernels_;
  const Trace& trace_;
};

absl::StatusOr<std::unique_ptr<Adapter>> LoadLinearAdapter(const ModelConfig& config,
                                                           const Weights& weights, int level,
                                                           const kernels::Kernels& kernels) {
  HFWA_ASSIGN_OR_RETURN(const std::vector<kernels::LinearWeights> layers,
                        LoadLayers(config, weights, config.share_weight ? 0 : level, 0));
  return std::make_unique<LinearAdapter>(kernels.PackMlp(layers, kernels::Activation::kRelu));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Adapter>> LoadAdapter(
    const ModelConfig& config, const Weights& weights, int level,
    const std::shared_ptr<const kernels::Linear>& out_proj, const kernels::Kernels& kernels,
    const Trace& trace) {
  if (config.adapter.type == AdapterConfig::Type::kNone) return std::make_unique<NoAdapter>();
  if (config.adapter.type == AdapterConfig::Type::kLinear)
    return LoadLinearAdapter(config, weights, level, kernels);
  return FwaLoader(config, weights, level, kernels, trace).Load(out_proj);
}

}  // namespace hfwa::model
