#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "lab/train/learnable.h"
#include "lab/train/samples.h"

namespace hfwa::lab::train {

// What a run trains: tensors, and the loss of a batch. All else is the trainer's.
class Learner {
 public:
  virtual ~Learner() = default;

  // On the device, updated in place. Those without gradients (running means) change with the loss
  // and belong to a checkpoint like the others.
  virtual const Tensors& parameters() const = 0;

  struct BatchLoss {
    at::Tensor total;  // differentiable scalar
    std::vector<at::Tensor> parts;
  };
  // Names of the parts, for logs.
  virtual std::vector<std::string> loss_parts() const = 0;
  // `draws` seeds what the batch draws. LibTorch's exceptions pass through.
  virtual absl::StatusOr<BatchLoss> Loss(std::vector<Sample>& samples, uint64_t draws) = 0;
  // Images that went through the frozen tower since the last call.
  virtual int64_t TakeComputed() = 0;

  // What the file in the model directory holds, on the CPU.
  virtual Tensors ToWrite() const = 0;
};

}  // namespace hfwa::lab::train
