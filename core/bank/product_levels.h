#pragma once

// What a product's levels count, by what its own references show: each level, and each window that
// distances are averaged over, in units of what is usual among them, and in the measure of a
// texture or of an object.

#include <memory>

#include <ATen/core/Tensor.h>

#include "absl/types/span.h"
#include "core/bank/bank.h"
#include "core/model/config.h"

namespace hfwa::bank {

// A judged reference: its distances [n, g, g] to others of the bank's rows, unweighed, and its
// HalvesRatio.
struct ReferenceLevels {
  at::Tensor few;
  double halves_ratio = 1;
};

// How much nearer the patches of a picture are to others of their own half than to those of the
// other half, left and right or above and below, whichever differ more: about 1 for one texture all
// over, more for an object. A ratio of medians of distances, neighbours left out, over the first
// half of the levels, which see texture. `tokens` [n, L, E], L2-normalised. LibTorch's exceptions
// pass through.
double HalvesRatio(const at::Tensor& tokens);

// Where the configuration has product_levels: the bank with weights for this product, and `few`
// brought to them; else both as they are. Of each level and window the weight is the profile's
// over the spread, 99th percentile less median, of the references' window means: where good parts
// differ much it counts little. The profile lies between object and texture by the mean of the
// ratios. At least one reference; a bank without weights of its own. LibTorch's exceptions pass
// through.
std::shared_ptr<const Bank> WeighForProduct(const model::ModelConfig& config,
                                            std::shared_ptr<const Bank> bank,
                                            absl::Span<const ReferenceLevels> references);

// Spreads below this count as this: pictures of one part, taken twice, differ by the arithmetic's
// rounding alone.
inline constexpr float kSpreadMin = 1e-3F;

}  // namespace hfwa::bank
