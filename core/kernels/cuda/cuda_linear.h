#pragma once

// Linear maps by LibTorch's products, what surrounds them by the CUDA module.

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/kernels/cuda/launcher.h"
#include "core/kernels/kernels.h"

namespace hfwa::kernels {

// `launcher` outlives these.
class CudaLinear final : public Linear {
 public:
  // The module takes maps onto multiples of four values.
  static bool Takes(const LinearWeights& weights) { return weights.weight.size(0) % 4 == 0; }

  CudaLinear(const LinearWeights& weights, const cuda::Launcher& launcher, at::ScalarType type);

  at::Tensor Apply(const at::Tensor& x) const override;
  void AddTo(at::Tensor& sum, const at::Tensor& x) const override;

  // Apply without the bias, contiguous.
  at::Tensor Product(const at::Tensor& x) const;
  const at::Tensor& bias() const { return bias_; }  // fp32, or undefined
  // function(Apply(x)), the bias unrounded.
  at::Tensor ApplyWith(Activation activation, const at::Tensor& x) const;

 private:
  at::Tensor Input(const at::Tensor& x) const;

  const cuda::Launcher& launcher_;
  const at::ScalarType type_;
  const at::Tensor weight_;
  at::Tensor bias_;
  at::Tensor rounded_bias_;
};

class CudaMlp final : public Mlp {
 public:
  CudaMlp(const std::vector<LinearWeights>& layers, Activation activation,
          const cuda::Launcher& launcher, at::ScalarType type);

  at::Tensor Apply(const at::Tensor& x) const override { return last().Apply(Hidden(x)); }
  void AddTo(at::Tensor& sum, const at::Tensor& x) const override { last().AddTo(sum, Hidden(x)); }

  // What the last map takes.
  at::Tensor Hidden(const at::Tensor& x) const;
  const CudaLinear& last() const { return *layers_.back(); }

 private:
  const Activation activation_;
  std::vector<std::unique_ptr<CudaLinear>> layers_;
};

}  // namespace hfwa::kernels
