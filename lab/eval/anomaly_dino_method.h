#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lab/eval/method.h"

namespace hfwa::lab {

// A reference's tokens in the orientations that are not its own: [7, n, L, E], image::Turn's 1
// to 7.
class TurnedView final : public View {
 public:
  static constexpr char kName[] = "turned";

  explicit TurnedView(const model::Hfwa& hfwa) : hfwa_(hfwa) {}
  std::string name() const override { return kName; }
  bool references_only() const override { return true; }
  absl::StatusOr<at::Tensor> Look(const Subject& subject) const override;

 private:
  const model::Hfwa& hfwa_;
};

// AnomalyDINO (arXiv 2405.14529) as products of that method are judged: distance of each token to
// the nearest of the references in eight orientations, summed over levels; an image's score is the
// mean of the largest hundredth. Scorings: "paper", that mean, and "service", online
// (docs/scoring.md).
class AnomalyDinoMethod final : public Method {
 public:
  explicit AnomalyDinoMethod(const model::Hfwa& hfwa) : hfwa_(hfwa), turned_(hfwa) {}
  std::string name() const override { return "anomaly-dino"; }
  std::vector<const View*> views() const override { return {&turned_}; }
  absl::StatusOr<std::unique_ptr<Detector>> Fit(const References& references) const override;

 private:
  const model::Hfwa& hfwa_;
  const TurnedView turned_;
};

}  // namespace hfwa::lab
