#include "core/kernels/aten/aten_kernels.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include <ATen/ATen.h>

#include "core/kernels/aten/packed_linear.h"
#include "core/kernels/windows.h"

namespace hfwa::kernels {
namespace {

using Fused = PackedLinear::Fused;

// Rows that one matrix product of Maximum takes.
constexpr int64_t kRowBlock = 8192;
constexpr double kQuickGeluFactor = 1.702;
constexpr double kCosineEpsilon = 1e-12;

Fused FusedFor(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return Fused::kNone;
    case Activation::kQuickGelu:
      return Fused::kSwish;
    case Activation::kGelu:
      return Fused::kGelu;
    case Activation::kRelu:
      return Fused::kRelu;
  }
  return Fused::kNone;
}

LinearWeights Scaled(const LinearWeights& layer, double weight_factor, double bias_factor) {
  LinearWeights scaled{layer.weight * weight_factor, layer.bias};
  if (layer.bias.defined()) scaled.bias = layer.bias * bias_factor;
  return scaled;
}

class AtenMlp final : public Mlp {
 public:
  AtenMlp(std::vector<LinearWeights> layers, Activation activation, at::Device device,
          at::ScalarType type)
      : fused_(FusedFor(activation)) {
    if (activation == Activation::kQuickGelu) FoldQuickGelu(layers);
    for (const LinearWeights& layer : layers) {
      layers_.push_back(std::make_unique<PackedLinear>(layer, device, type));
    }
  }

  at::Tensor Apply(const at::Tensor& x) const override {
    at::Tensor y = x;
    for (size_t i = 0; i < layers_.size(); ++i) {
      y = layers_[i]->Apply(y, i + 1 < layers_.size() ? fused_ : Fused::kNone);
    }
    return y;
  }

 private:
  // t·sigmoid(ct) = swish(ct) / c: the factors go into the maps before and after, and QuickGELU
  // fuses.
  static void FoldQuickGelu(std::vector<LinearWeights>& layers) {
    for (size_t i = 0; i < layers.size(); ++i) {
      const double before = i == 0 ? 1.0 : 1.0 / kQuickGeluFactor;
      const double after = i + 1 < layers.size() ? kQuickGeluFactor : 1.0;
      layers[i] = Scaled(layers[i], before * after, after);
    }
  }

  Fused fused_;
  std::vector<std::unique_ptr<PackedLinear>> layers_;
};

class AtenRows final : public Rows {
 public:
  AtenRows(int64_t count, int64_t width, at::Device device)
      : rows_(at::empty({count, width}, at::device(device).dtype(at::kFloat))) {}

  void Put(int64_t first, const at::Tensor& rows) override {
    rows_.narrow(0, first, rows.size(0)).copy_(rows);
  }
  at::Tensor Get(int64_t first, int64_t count) const override {
    return rows_.narrow(0, first, count);
  }
  at::Tensor Maximum(const at::Tensor& tokens, int64_t first, int64_t count) const override {
    at::Tensor best;
    for (int64_t start = first; start < first + count; start += kRowBlock) {
      const at::Tensor block = rows_.slice(0, start, std::min(start + kRowBlock, first + count));
      const at::Tensor maximum = at::mm(tokens, block.t()).amax(1);
      best = best.defined() ? at::maximum(best, maximum) : maximum;
    }
    return best;
  }
  int64_t bytes() const override { return static_cast<int64_t>(rows_.nbytes()); }

 private:
  at::Tensor rows_;
};

at::Tensor UnitOf(const at::Tensor& x) {
  return x / x.norm(2, {-1}, /*keepdim=*/true).clamp_min_(kCosineEpsilon);
}

}  // namespace

std::unique_ptr<Linear> AtenKernels::PackLinear(const LinearWeights& weights) const {
  return std::make_unique<PackedLinear>(weights, device_, type_);
}

std::unique_ptr<Mlp> AtenKernels::PackMlp(const std::vector<LinearWeights>& layers,
                                          Activation activation) const {
  return std::make_unique<AtenMlp>(layers, activation, device_, type_);
}

at::Tensor AtenKernels::LayerNorm(const at::Tensor& x, const Norm& norm) const {
  return at::layer_norm(x.to(at::kFloat), {x.size(-1)}, norm.weight, norm.bias, norm.eps);
}

at::Tensor AtenKernels::LayerNormForLinear(const at::Tensor& x, const Norm& norm) const {
  return LayerNorm(x, norm);
}

at::Tensor AtenKernels::Attention(const at::Tensor& qkv, int heads, bool causal) const {
  const int64_t batch = qkv.size(0), tokens = qkv.size(1), width = qkv.size(2) / 3;
  // Contiguous per head: attention over strided views is a third slower on the CPU.
  const at::Tensor parts = qkv.to(type_)
                               .view({batch, tokens, 3, heads, width / heads})
                               .permute({2, 0, 3, 1, 4})
                               .contiguous();
  const at::Tensor y = at::scaled_dot_product_attention(parts.select(0, 0), parts.select(0, 1),
                                                        parts.select(0, 2), {}, 0.0, causal);
  return y.transpose(1, 2).reshape({batch, tokens, width});
}

at::Tensor AtenKernels::AttendWindows(const at::Tensor& x, const WindowAttention& a) const {
  const int64_t width = x.size(2), inside = static_cast<int64_t>(a.window) * a.window;
  const int64_t parts = a.value_only ? 1 : 3;
  const at::Tensor windows = CutWindows(x, a.grid, a.window, a.shift);
  const at::Tensor projected = a.in_proj->Apply(windows)
                                   .to(at::kFloat)
                                   .view({-1, inside, parts, a.heads, width / a.heads})
                                   .permute({2, 0, 3, 1, 4})
                                   .contiguous();
  const at::Tensor v = projected.select(0, parts - 1);
  const at::Tensor k = UnitOf(projected.select(0, a.value_only ? 0 : 1));
  const at::Tensor q = (a.value_only ? k : UnitOf(projected.select(0, 0))) * a.scale;
  const int64_t images = windows.size(0) / ((a.grid / a.window) * (a.grid / a.window));
  const at::Tensor bias = a.bias.size(0) == 1 ? a.bias : a.bias.repeat({images, 1, 1, 1});
  const at::Tensor y = at::scaled_dot_product_attention(q, k, v, bias, 0.0, false, /*scale=*/1.0);
  return a.out_proj->Apply(y.transpose(1, 2).reshape({-1, inside, width}));
}

std::unique_ptr<Rows> AtenKernels::MakeRows(int64_t count, int64_t width) const {
  return std::make_unique<AtenRows>(count, width, device_);
}

std::unique_ptr<Kernels> MakeAtenKernels(at::Device device, at::ScalarType type) {
  return std::make_unique<AtenKernels>(device, type);
}

}  // namespace hfwa::kernels
