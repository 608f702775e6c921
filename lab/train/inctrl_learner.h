#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/kernels/kernels.h"
#include "core/model/weights.h"
#include "lab/data/data_set.h"
#include "lab/train/feature_source.h"
#include "lab/train/inctrl.h"
#include "lab/train/learner.h"

namespace hfwa::lab::train {

// InCTRL's networks, on queries with references of their class (SampleOptions::references) and
// labels alone.
class InctrlLearner final : public Learner {
 public:
  // `features` outlives it. `frozen` with its weights. FAILED_PRECONDITION where the model's tokens
  // depend on what HFWA learns.
  static absl::StatusOr<std::unique_ptr<InctrlLearner>> Create(const model::FrozenModel& frozen,
                                                               const DataSet& data,
                                                               FeatureSource& features,
                                                               uint64_t seed, at::Device device);

  const Tensors& parameters() const override { return inctrl_->parameters(); }
  std::vector<std::string> loss_parts() const override { return {"holistic", "image"}; }
  absl::StatusOr<BatchLoss> Loss(std::vector<Sample>& samples, uint64_t draws) override;
  int64_t TakeComputed() override { return features_.TakeComputed(); }
  Tensors ToWrite() const override;

 private:
  InctrlLearner(FeatureSource& features, at::Device device)
      : features_(features), device_(device) {}
  // Tokens of one image's taps, as matching takes them: [n, L, E].
  at::Tensor UnitTokens(const Features& features) const;

  FeatureSource& features_;
  const at::Device device_;
  std::string backbone_;                             // what the tensors belong to
  std::vector<kernels::LinearWeights> projections_;  // of each level
  at::Tensor text_pairs_;                            // [classes of the set, 2, E]
  std::unique_ptr<Inctrl> inctrl_;
};

}  // namespace hfwa::lab::train
