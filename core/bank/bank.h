#pragma once

// The memory bank: patch tokens of a product's reference images, as an immutable value (design
// promise 3).

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/kernels/epilogue.h"
#include "core/kernels/kernels.h"
#include "core/model/maps.h"

namespace hfwa::bank {

// Tokens of K references, side by side: one matrix a level, as the kernels keep it, so that
// matching is one product a level. Immutable; share it by std::shared_ptr<const Bank>.
class Bank {
 public:
  // Asks `tokens_of(k)` for the tokens of reference k, [n, L, E] fp32, L2-normalised, one after the
  // other, so that only the bank itself is in memory. At least one reference. INVALID_ARGUMENT if
  // shapes differ, RESOURCE_EXHAUSTED if memory does not suffice; errors of `tokens_of` pass
  // through.
  static absl::StatusOr<std::shared_ptr<const Bank>> Create(
      int references, const kernels::Kernels& kernels,
      const std::function<absl::StatusOr<at::Tensor>(int)>& tokens_of);

  int references() const { return references_; }
  int64_t bytes() const;

  // Tokens of reference k, as exactly as the kernels keep them: [n, L, E] fp32.
  at::Tensor ReferenceTokens(int k) const;

  // 1 - largest cosine of each token to any row of references first to first + count - 1. `tokens`
  // [n, L, E]; result [n, g, g].
  at::Tensor MatchRange(const at::Tensor& tokens, int first, int count) const;

  // The same over the whole bank, in blocks, so that the memory for similarities is bounded.
  at::Tensor Match(const at::Tensor& tokens) const;

  // What Match takes the largest cosine of, for matching several images at once: one entry a level.
  void AddMatches(const at::Tensor& tokens, std::vector<kernels::RowMatch>& matches) const;

  // A stand-in for another good part where there is only one: reference k against its own tokens
  // more than `radius` patches away (in either direction). [n, g, g].
  at::Tensor MatchSelf(int k, int radius = kSelfRadius) const;

  // A patch and its ring of neighbours share what they see; two away is another place.
  static constexpr int kSelfRadius = 2;

  // References in a block: what one step of matching may take.
  static constexpr int kBlock = 16;

 private:
  Bank(model::PackedBank tokens, int references)
      : tokens_(std::move(tokens)), references_(references) {}

  int64_t patches() const { return tokens_.rows / references_; }  // L

  // Reference k owns rows k * L to (k + 1) * L - 1 of each level.
  model::PackedBank tokens_;
  int references_;
};

}  // namespace hfwa::bank
