#include "lab/eval/april_gan_method.h"

#include <utility>

#include <ATen/ATen.h>

#include "absl/status/status.h"
#include "core/bank/bank.h"
#include "core/base/status_macros.h"
#include "core/model/maps.h"
#include "lab/eval/reference_bank.h"

namespace hfwa::lab {
namespace {

class AprilGanDetector final : public Detector {
 public:
  AprilGanDetector(const model::Hfwa& hfwa, std::shared_ptr<const bank::Bank> bank)
      : size_(hfwa.config().map_size), device_(hfwa.kernels().device()), bank_(std::move(bank)) {}

  absl::StatusOr<Judgement> Judge(const Features& image, bool with_levels) const override {
    const at::Tensor language =
        model::LanguageMaps(image.language_diff.unsqueeze(0), size_).squeeze(0);
    Judgement judgement;
    judgement.map = language.sum(0);
    if (with_levels) judgement.levels = language;
    if (bank_ != nullptr) {
      const at::Tensor few = bank_->Match(image.tokens.to(device_)).cpu();
      judgement.map += model::UpsampleMaps(few.mean(0, /*keepdim=*/true), size_).squeeze(0);
      if (with_levels) judgement.levels = language + model::UpsampleMaps(few, size_);
    }
    judgement.raw = {judgement.map.max().item<float>(), image.probability};
    return judgement;
  }

  std::vector<Scoring> Score(absl::Span<const RawScore> images) const override {
    return {PaperScoring(images, bank_ != nullptr)};
  }

 private:
  const int size_;
  const at::Device device_;                       // of bank and matching
  const std::shared_ptr<const bank::Bank> bank_;  // null: no references
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> AprilGanMethod::Create(const LoadedModel& model) {
  const model::ModelConfig& config = model.hfwa.config();
  if (!config.has_language() || config.value_encoder ||
      config.adapter.type != model::AdapterConfig::Type::kLinear) {
    return absl::FailedPreconditionError(
        "april-gan needs a model with linear adapters on the tower's own tokens: train one with "
        "hfwa-train --adapter linear");
  }
  return std::unique_ptr<Method>(new AprilGanMethod(model.hfwa));
}

absl::StatusOr<std::unique_ptr<Detector>> AprilGanMethod::Fit(const References& references) const {
  std::shared_ptr<const bank::Bank> bank;
  if (!references.images.empty()) {
    HFWA_ASSIGN_OR_RETURN(bank, MakeBank(hfwa_, references.images));
  }
  return std::make_unique<AprilGanDetector>(hfwa_, std::move(bank));
}

}  // namespace hfwa::lab
