#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lab/eval/method.h"

namespace hfwa::lab {

// SOWA's: language maps plus the distance of each token to the references' nearest (HFWA spec 7);
// without a language side the latter alone. Scorings: "paper", over the whole test set, and
// "service", online (docs/scoring.md).
class HfwaMethod final : public Method {
 public:
  explicit HfwaMethod(const model::Hfwa& hfwa) : hfwa_(hfwa) {}
  std::string name() const override { return "hfwa"; }
  absl::StatusOr<std::unique_ptr<Detector>> Fit(const References& references) const override;

 private:
  const model::Hfwa& hfwa_;
};

}  // namespace hfwa::lab
