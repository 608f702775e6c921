#include "lab/train/autograd_kernels.h"

#include <cmath>
#include <limits>
#include <mutex>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include "core/kernels/windows.h"

namespace hfwa::lab::train {
namespace {

using kernels::Activation;
using kernels::LinearWeights;

constexpr double kQuickGeluFactor = 1.702;
constexpr double kCosineEpsilon = 1e-12;

at::Tensor Activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kQuickGelu:
      return x * at::sigmoid(x * kQuickGeluFactor);
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kRelu:
      return at::relu(x);
  }
  return x;
}

class AutogradLinear final : public kernels::Linear {
 public:
  AutogradLinear(LinearWeights weights, at::ScalarType type)
      : weights_(std::move(weights)), type_(type) {}

  at::Tensor Apply(const at::Tensor& x) const override {
    const at::Tensor bias = weights_.bias.defined() ? weights_.bias.to(type_) : at::Tensor();
    return at::linear(x.to(type_), weights_.weight.to(type_), bias);
  }
  // Out of place: the norm before it needs the old sum for its gradient.
  void AddTo(at::Tensor& sum, const at::Tensor& x) const override {
    sum = sum + Apply(x).to(at::kFloat);
  }

 private:
  LinearWeights weights_;
  at::ScalarType type_;
};

class AutogradMlp final : public kernels::Mlp {
 public:
  AutogradMlp(const std::vector<LinearWeights>& layers, Activation activation,
              const AutogradOptions& options)
      : activation_(activation), options_(options) {
    for (const LinearWeights& layer : layers) layers_.emplace_back(layer, options.type);
  }

  at::Tensor Apply(const at::Tensor& x) const override {
    at::Tensor y = layers_.front().Apply(x);
    for (size_t i = 1; i < layers_.size(); ++i) {
      y = Activate(y, activation_);
      if (options_.dropout != nullptr) y = options_.dropout->Apply(y, options_.drop);
      y = layers_[i].Apply(y);
    }
    return y;
  }
  void AddTo(at::Tensor& sum, const at::Tensor& x) const override {
    sum = sum + Apply(x).to(at::kFloat);
  }

 private:
  Activation activation_;
  AutogradOptions options_;
  std::vector<AutogradLinear> layers_;
};

at::Tensor Unit(const at::Tensor& x) {
  return x / x.norm(2, {-1}, /*keepdim=*/true).clamp_min(kCosineEpsilon);
}

class AutogradKernels final : public kernels::Kernels {
 public:
  explicit AutogradKernels(AutogradOptions options) : options_(std::move(options)) {}

  std::string name() const override { return "LibTorch, differentiable"; }
  at::Device device() const override { return options_.device; }
  at::ScalarType compute_type() const override { return options_.type; }

  std::unique_ptr<kernels::Linear> PackLinear(const LinearWeights& weights) const override {
    return std::make_unique<AutogradLinear>(weights, options_.type);
  }
  std::unique_ptr<kernels::Mlp> PackMlp(const std::vector<LinearWeights>& layers,
                                        Activation activation) const override {
    return std::make_unique<AutogradMlp>(layers, activation, options_);
  }

  at::Tensor LayerNorm(const at::Tensor& x, const kernels::Norm& norm) const override {
    return at::layer_norm(x.to(at::kFloat), {x.size(-1)}, norm.weight, norm.bias, norm.eps);
  }
  at::Tensor LayerNormForLinear(const at::Tensor& x, const kernels::Norm& norm) const override {
    return LayerNorm(x, norm);
  }

  // Written out, not LibTorch's fused attention: its gradient on CUDA does not repeat to the bit.
  at::Tensor Attention(const at::Tensor& qkv, int heads, bool causal) const override {
    const int64_t batch = qkv.size(0), tokens = qkv.size(1), width = qkv.size(2) / 3;
    const at::Tensor parts =
        qkv.view({batch, tokens, 3, heads, width / heads}).permute({2, 0, 3, 1, 4});
    const double scale = 1.0 / std::sqrt(static_cast<double>(width) / heads);
    at::Tensor logits =
        at::matmul(parts.select(0, 0) * scale, parts.select(0, 1).transpose(2, 3)).to(at::kFloat);
    if (causal) {
      const at::Tensor later =
          at::ones({tokens, tokens}, logits.options().dtype(at::kBool)).triu(1);
      logits = logits.masked_fill(later, -std::numeric_limits<float>::infinity());
    }
    const at::Tensor y = at::matmul(at::softmax(logits, -1).to(qkv.dtype()), parts.select(0, 2));
    return y.transpose(1, 2).reshape({batch, tokens, width});
  }

  at::Tensor AttendWindows(const at::Tensor& x, const kernels::WindowAttention& a) const override {
    const int64_t width = x.size(2), inside = static_cast<int64_t>(a.window) * a.window;
    const int64_t parts = a.value_only ? 1 : 3;
    const at::Tensor windows = kernels::CutWindows(x, a.grid, a.window, a.shift);
    const at::Tensor projected = a.in_proj->Apply(windows)
                                     .to(at::kFloat)
                                     .view({-1, inside, parts, a.heads, width / a.heads})
                                     .permute({2, 0, 3, 1, 4});
    const at::Tensor v = projected.select(0, parts - 1);
    const at::Tensor k = Unit(projected.select(0, a.value_only ? 0 : 1));
    const at::Tensor q = (a.value_only ? k : Unit(projected.select(0, 0))) * a.scale;
    // [images, windows, heads, N, N], so that an image's bias and mask repeat over the images.
    const int64_t across = a.grid / a.window;
    const at::Tensor logits =
        at::matmul(q, k.transpose(2, 3)).view({-1, across * across, a.heads, inside, inside}) +
        a.bias;
    at::Tensor weights = at::softmax(logits, -1);
    if (options_.dropout != nullptr) {
      weights = options_.dropout->Apply(weights, options_.attention_drop);
    }
    const at::Tensor y = at::matmul(weights.view({-1, a.heads, inside, inside}), v);
    const at::Tensor out = a.out_proj->Apply(y.transpose(1, 2).reshape({-1, inside, width}));
    return options_.dropout == nullptr ? out : options_.dropout->Apply(out, options_.drop);
  }

  std::unique_ptr<kernels::Rows> MakeRows(int64_t /*count*/, int64_t /*width*/) const override {
    return nullptr;
  }

 private:
  AutogradOptions options_;
};

}  // namespace

void Dropout::Start(uint64_t seed) {
  if (device_.is_cpu()) {
    generator_ = at::make_generator<at::CPUGeneratorImpl>(seed);
    return;
  }
  generator_ = at::globalContext().defaultGenerator(device_);
  const std::lock_guard<std::mutex> lock(generator_.mutex());
  generator_.set_current_seed(seed);
}

at::Tensor Dropout::Apply(const at::Tensor& x, double rate) const {
  if (!generator_.defined() || rate <= 0.0) return x;
  const at::Tensor kept = at::empty_like(x.detach()).bernoulli_(1.0 - rate, generator_);
  return x * kept.div_(1.0 - rate);
}

std::shared_ptr<const kernels::Kernels> MakeAutogradKernels(const AutogradOptions& options) {
  return std::make_shared<AutogradKernels>(options);
}

}  // namespace hfwa::lab::train
