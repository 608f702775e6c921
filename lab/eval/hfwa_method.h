#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lab/eval/method.h"

namespace hfwa::lab {

// SOWA's: language maps plus the distance of each token to the references' nearest (HFWA spec 7);
// without a language side the latter alone. Scorings: "paper", over the whole test set, "service",
// online (docs/scoring.md), and with references "top1", the mean of the largest hundredth of the
// patches' distances summed over levels, as published baselines score.
class HfwaMethod final : public Method {
 public:
  explicit HfwaMethod(const model::Hfwa& hfwa, double coreset_ratio = 1)
      : hfwa_(hfwa), coreset_ratio_(coreset_ratio) {}
  std::string name() const override { return "hfwa"; }
  absl::StatusOr<std::unique_ptr<Detector>> Fit(const References& references) const override;

 private:
  const model::Hfwa& hfwa_;
  const double coreset_ratio_;
};

}  // namespace hfwa::lab
