#include "lab/train/optimizer.h"

#include <cmath>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "absl/strings/str_cat.h"

namespace hfwa::lab::train {

Optimizer::Optimizer(const std::map<std::string, at::Tensor>& parameters,
                     const OptimizerOptions& options)
    : options_(options) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, value] : parameters) {
    slots_[name] = {value, at::zeros_like(value), at::zeros_like(value)};
  }
}

void Optimizer::ZeroGradients() {
  for (auto& [name, slot] : slots_) slot.value.mutable_grad().reset();
}

void Optimizer::Step(double learning_rate) {
  const at::NoGradGuard no_grad;
  ++steps_;
  const double correction1 = 1.0 - std::pow(options_.beta1, static_cast<double>(steps_));
  const double correction2 = 1.0 - std::pow(options_.beta2, static_cast<double>(steps_));
  for (auto& [name, slot] : slots_) {
    if (slot.value.grad().defined()) Update(slot, learning_rate, correction1, correction2);
  }
}

void Optimizer::Update(Slot& slot, double learning_rate, double correction1,
                       double correction2) const {
  const at::Tensor& gradient = slot.value.grad();
  if (options_.kind == OptimizerOptions::Kind::kSgd) {
    slot.m.mul_(options_.beta1).add_(gradient).add_(slot.value, options_.weight_decay);
    slot.value.sub_(slot.m, learning_rate);
    return;
  }
  if (options_.kind == OptimizerOptions::Kind::kAdamW) {
    slot.value.mul_(1.0 - learning_rate * options_.weight_decay);
  }
  slot.m.lerp_(gradient, 1.0 - options_.beta1);
  slot.v.mul_(options_.beta2).addcmul_(gradient, gradient, 1.0 - options_.beta2);
  const at::Tensor denominator = (slot.v.sqrt() / std::sqrt(correction2)).add_(options_.eps);
  slot.value.addcdiv_(slot.m, denominator, -learning_rate / correction1);
}

std::map<std::string, at::Tensor> Optimizer::State() const {
  std::map<std::string, at::Tensor> state;
  for (const auto& [name, slot] : slots_) {
    state[absl::StrCat("m.", name)] = slot.m.to(at::kCPU);
    state[absl::StrCat("v.", name)] = slot.v.to(at::kCPU);
  }
  return state;
}

absl::Status Optimizer::Restore(const std::map<std::string, at::Tensor>& state, int64_t steps) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, slot] : slots_) {
    for (const char* moment : {"m.", "v."}) {
      const auto found = state.find(moment + name);
      if (found == state.end() || found->second.sizes() != slot.value.sizes()) {
        return absl::InvalidArgumentError(
            absl::StrCat("the optimizer's state lacks ", moment, name));
      }
    }
  }
  for (auto& [name, slot] : slots_) {
    slot.m.copy_(state.at("m." + name));
    slot.v.copy_(state.at("v." + name));
  }
  steps_ = steps;
  return absl::OkStatus();
}

}  // namespace hfwa::lab::train
