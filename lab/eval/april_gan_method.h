#pragma once

#include <memory>
#include <string>

#include "lab/eval/method.h"

namespace hfwa::lab {

// April-GAN (arXiv 2305.17382): linear layers take each tapped block's tokens to the text pair
// (section 3.1), and with references a memory bank a level adds the mean of the levels' distances
// (section 3.2); nothing is smoothed. The softmax of the maps is on plain cosines, as the adapters
// were trained (the publication: times 100). An image's score is the language's probability, with
// references its mean with the map's largest, scaled over the class. Needs a model with linear
// adapters, as hfwa-train --adapter linear makes them.
class AprilGanMethod final : public Method {
 public:
  // FAILED_PRECONDITION where the model has no linear adapters on the tower's own tokens.
  static absl::StatusOr<std::unique_ptr<Method>> Create(const LoadedModel& model);
  std::string name() const override { return "april-gan"; }
  absl::StatusOr<std::unique_ptr<Detector>> Fit(const References& references) const override;

 private:
  explicit AprilGanMethod(const model::Hfwa& hfwa) : hfwa_(hfwa) {}

  const model::Hfwa& hfwa_;
};

}  // namespace hfwa::lab
