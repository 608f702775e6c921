#pragma once

// PromptAD's maths (arXiv 2404.05231): prompts that are learnt from features of good images alone.
// N normal prompts have contexts of their own; words and learnt suffixes behind the same contexts
// say the opposite ("semantic concatenation"):
//
//   normal   [P_i] class .              i of N, P_i of four learnt vectors
//   manual   [P_i] state of class .     each of S states, those of HFWA spec 5.5
//   learnt   [P_i] class [A_j] .        j of 4, A_j one learnt vector
//
// With f_t the frozen text tower, unit() of length one, z the unit features of good images:
//
//   w_n = unit(mean of f_t(normal)),  w_a = unit(mean of f_t(manual and learnt))
//   contrast  = mean of -log(exp(100 <z, w_n>) / (exp(100 <z, w_n>) + sum of exp(100 <z,
//   unit(t)>)))
//               over z, t being each anomaly prompt's f_t
//   margin    = mean of max(0, |z - w_n| - |z - w_a|) over z        ("explicit anomaly margin")
//   alignment = |mean of unit(manual) - mean of unit(learnt)|²
//   loss      = contrast + margin + alignment / 1000
//   anomaly of a feature z = second of softmax(100 <z, w_n>, 100 <z, w_a>)
//
// R features, embedding E, text width D; fp32. LibTorch's exceptions pass through.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/kernels/kernels.h"
#include "core/model/config.h"
#include "core/model/text_tower.h"
#include "core/model/tokenizer.h"
#include "core/model/weights.h"
#include "lab/train/learnable.h"

namespace hfwa::lab::train {

// The frozen text side, differentiable in what it is given. Immutable.
class PromptadText {
 public:
  // `config` with a language side.
  static absl::StatusOr<std::unique_ptr<PromptadText>> Create(const model::ModelConfig& config,
                                                              const model::Weights& weights,
                                                              const std::string& merges,
                                                              at::Device device);

  struct Embedded {
    at::Tensor embeddings;   // [R, C, D]
    at::Tensor end_of_text;  // [R] int64
  };
  // FAILED_PRECONDITION where a text does not fit the context.
  absl::StatusOr<Embedded> Embed(const std::vector<std::string>& texts) const;
  const model::TextTower& tower() const { return *tower_; }
  at::Device device() const { return device_; }

 private:
  PromptadText(model::Tokenizer tokenizer, at::Device device)
      : tokenizer_(std::move(tokenizer)), device_(device) {}

  const model::Tokenizer tokenizer_;
  const at::Device device_;
  int context_length_ = 0;
  at::Tensor table_;  // token embeddings, on the CPU
  std::unique_ptr<model::TextTower> tower_;
};

// What the tower gives for each kind of prompt, not normalised: [N, E], [N * S, E], [N * 4, E].
struct PromptFeatures {
  at::Tensor normal;
  at::Tensor manual;
  at::Tensor learnt;
};

// The prompts of one class.
class PromptadPrompts {
 public:
  // `text` outlives it. An underscore in the name is read as a space; no name is "object". Contexts
  // and suffixes are drawn from the seed, with deviation 0.02.
  static absl::StatusOr<std::unique_ptr<PromptadPrompts>> Create(const PromptadText& text,
                                                                 const std::string& class_name,
                                                                 int normal_prompts, uint64_t seed);
  // "contexts" [N, 4, D] and "suffixes" [4, 1, D]: leaves.
  const Tensors& parameters() const { return parameters_; }
  PromptFeatures Encode() const;

 private:
  explicit PromptadPrompts(const PromptadText& text) : text_(text) {}

  const PromptadText& text_;
  Tensors parameters_;
  PromptadText::Embedded normal_, manual_, learnt_;  // with placeholders for what is learnt
};

struct PromptadLoss {
  at::Tensor total;  // all scalars
  at::Tensor contrast;
  at::Tensor margin;
  at::Tensor alignment;  // before its factor
};
// `features` [R, E] of length one.
PromptadLoss ComputePromptadLoss(const at::Tensor& features, const PromptFeatures& prompts);

// w_n and w_a: [2, E].
at::Tensor Prototypes(const PromptFeatures& prompts);
// Of features [R, E] of length one by prototypes: [R].
at::Tensor AnomalyOf(const at::Tensor& features, const at::Tensor& prototypes);

// Learns prompts on the features [R, E] of good images, of length one, and gives their prototypes
// [2, E] on the text's device: 100 steps of SGD over all features, at 0.002 falling along half a
// cosine to 1e-5, momentum 0.9, decay 0.0005. `losses`, where given, gets each step's.
absl::StatusOr<at::Tensor> LearnPrototypes(const PromptadText& text, const std::string& class_name,
                                           int normal_prompts, const at::Tensor& features,
                                           uint64_t seed, std::vector<double>* losses = nullptr);

}  // namespace hfwa::lab::train
