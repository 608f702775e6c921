#pragma once

// InCTRL's maths (in-context residual learning, arXiv 2403.06495): how far a query x is from K good
// references x' of its class, in its patches, in its image feature and by language, and the small
// networks that weigh it. With T_l the unit tokens of level l and f_v the frozen image feature:
//
//   M_l(p) = 1 - largest <T_l(p), T_l(q)> over all patches q of the references
//   M   = mean of M_l over the levels                                  patch-level residual
//   F   = psi(f_v(x)) - mean of psi(f_v(x')) over the references
//   s_i = eta(F)                                                       image-level residual
//   s_a = anomaly side of softmax(100 <f_v(x), text>)                  prior by fixed prompts
//   s   = (phi(M + s_i + s_a) + max(M) / 2) / 2                        the anomaly score
//   loss = focal(s) + focal(s_i)
//
// psi is a bottleneck of two linear maps, to a quarter of the width and back, each followed by
// ReLU; eta and phi are three linear maps, to 128, 64 and 1, the first two followed by ReLU and
// batch norm, the last by the sigmoid. The paper's score is phi(...) + alpha max(M), alpha 1/2;
// half of it is taken, as in its authors' program, so that it stays in [0, 1] where the loss wants
// a probability.
//
// B queries, K references, n levels, L patches, embedding E; fp32, differentiable. LibTorch's
// exceptions pass through.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/model/config.h"
#include "lab/train/learnable.h"

namespace hfwa::lab::train {

// Unit tokens of a query [n, L, E] and of its references, K times the same shape, K at least 1:
// M_l, [n, L].
at::Tensor LevelResiduals(const at::Tensor& query, const std::vector<at::Tensor>& references);

// s_a of image features [B, E] (of any length) by text pairs [B, 2, E] of length one: [B].
at::Tensor TextPrior(const at::Tensor& features, const at::Tensor& pairs);

// -(1 - q)^2 log q, q being the probability given to the label; the mean. `probabilities` [B] in
// [0, 1], labels [B] in {0, 1}.
at::Tensor BinaryFocalLoss(const at::Tensor& probabilities, const at::Tensor& labels);

// What is frozen of B queries.
struct InctrlInput {
  at::Tensor residuals;                // M, [B, L]
  at::Tensor features;                 // f_v(x), [B, E]
  std::vector<at::Tensor> references;  // f_v(x'), B times [K, E]; K may differ
  at::Tensor prior;                    // s_a, [B]
};

struct InctrlScores {
  at::Tensor score;  // s, [B]
  at::Tensor image;  // s_i, [B]
};

class Inctrl {
 public:
  // Starting values of all tensors, a function of the seed.
  static Tensors Initial(const model::ModelConfig& config, uint64_t seed);
  // From such values or a file's. INVALID_ARGUMENT names a tensor that is missing, misshapen or not
  // finite.
  static absl::StatusOr<std::unique_ptr<Inctrl>> Create(const model::ModelConfig& config,
                                                        const Tensors& tensors, at::Device device);

  // The leaves, and without gradients the running means and variances.
  const Tensors& parameters() const { return parameters_; }

  // Batch norm by the running values.
  InctrlScores Score(const InctrlInput& input) const;
  // Batch norm by the batch, whose values the running ones then follow; by the running values where
  // the batch is a single query.
  InctrlScores Train(const InctrlInput& input);

 private:
  Inctrl() = default;
  const at::Tensor& Get(const std::string& name) const { return parameters_.at(name); }
  at::Tensor Adapt(const at::Tensor& features) const;
  // Means and variances of a batch under the names of the running ones; null: those are used.
  using BatchNorms = std::map<std::string, at::Tensor>;
  at::Tensor Normed(const std::string& norm, const at::Tensor& x, BatchNorms* batch) const;
  at::Tensor Head(const std::string& head, const at::Tensor& x, BatchNorms* batch) const;
  InctrlScores Forward(const InctrlInput& input, BatchNorms* batch) const;

  Tensors parameters_;
};

}  // namespace hfwa::lab::train
