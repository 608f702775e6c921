#pragma once

// What methods with a memory bank of the model's tokens share.

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/bank/bank.h"
#include "core/model/hfwa.h"
#include "lab/eval/features.h"
#include "lab/eval/method.h"

namespace hfwa::lab {

// The bank of all references, or of all but one; at least one is left. With a ratio below 1 its
// coreset.
absl::StatusOr<std::shared_ptr<const bank::Bank>> MakeBank(
    const model::Hfwa& hfwa, const std::vector<Features>& references, double coreset_ratio = 1,
    std::optional<size_t> without = std::nullopt);

// "paper", training-and-data spec 7.4: by language alone, or with references half of it and half
// the map's largest, scaled over all images of the class.
Scoring PaperScoring(absl::Span<const RawScore> images, bool few_shot);

}  // namespace hfwa::lab
