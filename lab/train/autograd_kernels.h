#pragma once

#include <cstdint>
#include <memory>

#include <ATen/core/Generator.h>

#include "core/kernels/kernels.h"

namespace hfwa::lab::train {

// Drops values while it is on. One thread.
class Dropout {
 public:
  explicit Dropout(at::Device device) : device_(device) {}
  // From here on values are drawn from `seed`.
  void Start(uint64_t seed);
  void Stop() { generator_ = at::Generator(); }
  // Each value 0 with the probability `rate`, else divided by 1 - rate; x itself while it is off.
  at::Tensor Apply(const at::Tensor& x, double rate) const;

 private:
  at::Device device_;
  at::Generator generator_;
};

struct AutogradOptions {
  at::Device device = at::kCPU;
  at::ScalarType type = at::kFloat;  // of linear maps; gradients and masters stay fp32
  double attention_drop = 0.0;       // of the windows' softmax (training spec 2.5)
  double drop = 0.0;                 // after the windows' projection and between an mlp's layers
  std::shared_ptr<const Dropout> dropout = nullptr;  // null: none
};

// The model's operations on plain ATen, out of place, so that autograd differentiates core's own
// adapters and towers. Weights are taken as they are, not copied: a packed leaf gets its gradient.
// Slower than the others. MakeRows is not for it and returns null.
std::shared_ptr<const kernels::Kernels> MakeAutogradKernels(const AutogradOptions& options);

}  // namespace hfwa::lab::train
