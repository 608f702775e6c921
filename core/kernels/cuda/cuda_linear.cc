#include "core/kernels/cuda/cuda_linear.h"

#include <optional>

#include <ATen/ATen.h>

namespace hfwa::kernels {
namespace {

using cuda::Api;
using cuda::Launcher;

cuda::BiasTask TaskOf(const at::Tensor& y, const at::Tensor& bias, float* sum) {
  const int64_t width = y.size(-1);
  return {.y = cuda::Bits(y),
          .bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr,
          .sum = sum,
          .rows = y.numel() / width,
          .width = static_cast<int32_t>(width)};
}

cuda::Function FunctionOf(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return cuda::Function::kNone;
    case Activation::kQuickGelu:
      return cuda::Function::kQuickGelu;
    case Activation::kGelu:
      return cuda::Function::kGelu;
    case Activation::kRelu:
      return cuda::Function::kRelu;
  }
  return cuda::Function::kNone;
}

// Products of rows that are not on 16 bytes take more than three times as long.
constexpr int64_t kAligned = 8;

at::Tensor Padded(const at::Tensor& x) {
  const int64_t missing = (kAligned - x.size(-1) % kAligned) % kAligned;
  return missing == 0 ? x : at::constant_pad_nd(x, {0, missing});
}

}  // namespace

CudaLinear::CudaLinear(const LinearWeights& weights, const Launcher& launcher, at::ScalarType type)
    : launcher_(launcher),
      type_(type),
      weight_(Padded(weights.weight.to(launcher.device(), type)).contiguous()) {
  if (!weights.bias.defined()) return;
  bias_ = weights.bias.to(launcher.device(), at::kFloat).contiguous();
  rounded_bias_ = bias_.to(type);
}

at::Tensor CudaLinear::Input(const at::Tensor& x) const {
  return Padded(x.to(launcher_.device(), type_));
}

at::Tensor CudaLinear::Apply(const at::Tensor& x) const {
  std::optional<at::Tensor> bias;
  if (rounded_bias_.defined()) bias = rounded_bias_;
  return at::linear(Input(x), weight_, bias);
}

at::Tensor CudaLinear::Product(const at::Tensor& x) const {
  return at::linear(Input(x), weight_).contiguous();
}

void CudaLinear::AddTo(at::Tensor& sum, const at::Tensor& x) const {
  const at::Tensor y = Product(x);
  launcher_.Run([&, task = TaskOf(y, bias_, sum.data_ptr<float>())](const Api& api, cuda::Type type,
                                                                    void* stream) {
    return api.add_residual(&task, type, stream);
  });
}

at::Tensor CudaLinear::ApplyWith(Activation activation, const at::Tensor& x) const {
  at::Tensor y = Product(x);
  launcher_.Run(
      [&, task = TaskOf(y, bias_, nullptr)](const Api& api, cuda::Type type, void* stream) {
        return api.activate(&task, type, FunctionOf(activation), stream);
      });
  return y;
}

CudaMlp::CudaMlp(const std::vector<LinearWeights>& layers, Activation activation,
                 const Launcher& launcher, at::ScalarType type)
    : activation_(activation) {
  for (const LinearWeights& layer : layers)
    layers_.push_back(std::make_unique<CudaLinear>(layer, launcher, type));
}

at::Tensor CudaMlp::Hidden(const at::Tensor& x) const {
  at::Tensor y = x;
  for (size_t i = 0; i + 1 < layers_.size(); ++i) y = layers_[i]->ApplyWith(activation_, y);
  return y;
}

}  // namespace hfwa::kernels
