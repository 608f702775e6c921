#pragma once

// The memory bank: patch tokens of a product's reference images, as an immutable value (design
// promise 3).

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/kernels/epilogue.h"
#include "core/kernels/kernels.h"
#include "core/model/maps.h"

namespace hfwa::bank {

// Sides of the squares of patches whose mean distance can count, beside each patch's own.
inline constexpr std::array<int, 3> kWindows = {1, 3, 8};

// Means over squares of `side` patches: [.., g, g] -> the same. The square lies around the patch,
// at the edge it is the nearest that fits; of an even side, one more patch lies after than before.
at::Tensor WindowMeans(const at::Tensor& distances, int side);

// Tokens of K references, side by side: one matrix a level, as the kernels keep it, so that
// matching is one product a level; all of them, or a selection. Immutable; share it by
// std::shared_ptr<const Bank>.
class Bank {
 public:
  // Of each level: which rows, ascending; equally many of each. Reference k owns rows k * L to
  // (k + 1) * L - 1 of each level, L being its patches. Empty: all rows.
  using Selection = std::vector<std::vector<int64_t>>;

  // Asks `tokens_of(k)` for the tokens of reference k, [n, L, E] fp32, L2-normalised, one after the
  // other, so that only the bank itself is in memory. At least one reference. `level_weights`
  // (ModelConfig) multiply each level's distances; none: 1 each. INVALID_ARGUMENT if shapes differ
  // or selection or weights do not fit them, RESOURCE_EXHAUSTED if memory does not suffice; errors
  // of `tokens_of` pass through.
  static absl::StatusOr<std::shared_ptr<const Bank>> Create(
      int references, const kernels::Kernels& kernels,
      const std::function<absl::StatusOr<at::Tensor>(int)>& tokens_of,
      const Selection& selection = {}, absl::Span<const float> level_weights = {});

  // References first to first + count - 1.
  struct Span {
    int first = 0;
    int count = 0;
  };
  // The coreset (coreset.h) of a bank of all rows, or of a bank without those left out: there is at
  // least one other reference.
  Selection Coreset(double ratio, Span left_out = {0, 0}) const;
  // The same rows, shared, with other weights: n, one each level, or for each of kWindows n of
  // them. LibTorch's exceptions pass through.
  std::shared_ptr<const Bank> WithLevelWeights(std::vector<float> level_weights) const;
  // Empty: 1 each.
  const std::vector<float>& level_weights() const { return level_weights_; }

  // The selected rows of a bank of all rows.
  absl::StatusOr<std::shared_ptr<const Bank>> Keep(const kernels::Kernels& kernels,
                                                   const Selection& selection) const;

  int references() const { return references_; }
  int64_t bytes() const;

  // Tokens of reference k of a bank of all rows, as exactly as the kernels keep them: [n, L, E]
  // fp32.
  at::Tensor ReferenceTokens(int k) const;

  // The weighed distance, 1 - largest cosine, of each token to any row of references first to
  // first + count - 1. `tokens` [n, L, E]; result [n, g, g]. Where none of these rows is selected:
  // that of opposite tokens, 2.
  at::Tensor MatchRange(const at::Tensor& tokens, int first, int count) const;

  // The same over the whole bank, in blocks, so that the memory for similarities is bounded.
  at::Tensor Match(const at::Tensor& tokens) const;

  // What Match takes the largest cosine of, for matching several images at once: one entry a level.
  void AddMatches(const at::Tensor& tokens, std::vector<kernels::RowMatch>& matches) const;

  // Distances [n, g, g] of such cosines become the sum over windows of their means times the
  // levels' weights, in place, on the bank's device.
  void Weigh(const at::Tensor& distances) const;
  // The same for several images at once, [b, n, g, g]: image i by bank i.
  static void Weigh(absl::Span<const Bank* const> banks, const at::Tensor& distances);

  // A stand-in for another good part where there is only one: reference k's tokens [n, L, E]
  // against its own rows more than `radius` patches away (in either direction). Weighed, [n, g, g];
  // 0 where no selected row is that far.
  at::Tensor MatchSelf(const at::Tensor& tokens, int k, int radius = kSelfRadius) const;

  // A patch and its ring of neighbours share what they see; two away is another place.
  static constexpr int kSelfRadius = 2;

  // References in a block: what one step of matching may take.
  static constexpr int kBlock = 16;

 private:
  Bank(std::shared_ptr<const model::PackedBank> tokens, int references, int64_t patches,
       Selection selection, std::vector<float> level_weights, at::Device device);

  // Where the rows of references first to first + count - 1 lie among those kept of a level.
  struct Range {
    int64_t first;
    int64_t count;
  };
  Range RangeOf(size_t level, int first, int count) const;

  std::shared_ptr<const model::PackedBank> tokens_;
  int references_;
  int64_t patches_;  // L
  Selection selection_;
  std::vector<float> level_weights_;
  at::Device device_;
  at::Tensor weights_;  // the same, [kWindows, n, 1, 1] on the device
  size_t windows_ = 0;  // how many of kWindows count; 0: no weights were given
};

}  // namespace hfwa::bank
