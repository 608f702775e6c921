#pragma once

// Adam and AdamW (training spec 2.8), each step in the spec's order of operations, so that a run
// repeats to the bit; and gradient descent with momentum, for methods that were published with it.

#include <cstdint>
#include <map>
#include <string>

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"

namespace hfwa::lab::train {

struct OptimizerOptions {
  enum class Kind {
    kAdamW,
    kAdam,  // no decay
    kSgd,   // momentum beta1; the decay is part of the gradient
  };
  Kind kind = Kind::kAdamW;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.2;  // of every tensor alike; not of kAdam
};

class Optimizer {
 public:
  // Leaves of autograd, fp32, by name; updated in place.
  Optimizer(const std::map<std::string, at::Tensor>& parameters, const OptimizerOptions& options);

  void ZeroGradients();
  // One update with the gradients that the parameters hold; one without a gradient stays as it is.
  void Step(double learning_rate);

  int64_t steps() const { return steps_; }
  // The moments as "m.NAME" and "v.NAME", on the CPU.
  std::map<std::string, at::Tensor> State() const;
  // INVALID_ARGUMENT, and nothing changes, unless every moment is there in its shape.
  absl::Status Restore(const std::map<std::string, at::Tensor>& state, int64_t steps);

 private:
  struct Slot {
    at::Tensor value;
    at::Tensor m;
    at::Tensor v;
  };
  void Update(Slot& slot, double learning_rate, double correction1, double correction2) const;

  const OptimizerOptions options_;
  std::map<std::string, Slot> slots_;
  int64_t steps_ = 0;
};

}  // namespace hfwa::lab::train
