#pragma once

#include <atomic>
#include <memory>

#include "core/base/clock.h"
#include "core/engine/admission.h"
#include "core/engine/batch_epilogue.h"
#include "core/engine/engine.h"
#include "core/engine/product_banks.h"
#include "core/image/render.h"

namespace hfwa::engine {

inline batching::Lane LaneOf(const DetectCall& call) {
  return call.priority == Priority::kBulk ? batching::Lane::kBulk : batching::Lane::kLive;
}

// Everything one Detect call carries through the stages. Its callback runs exactly once, at the
// latest when the job is destroyed.
class DetectJob {
 public:
  // `admitted` is given back after the callback.
  DetectJob(DetectCall detect_call, const Clock* clock, Observer* observer,
            std::unique_ptr<Admission::Place> admitted);
  ~DetectJob();
  DetectJob(const DetectJob&) = delete;
  DetectJob& operator=(const DetectJob&) = delete;

  void End(absl::StatusOr<DetectResult> outcome);
  // CANCELLED or DEADLINE_EXCEEDED if there is no use in going on.
  absl::Status CheckAlive() const;
  // Notes the time of a stage, for the reply and the metrics.
  void Took(Stage stage, absl::Duration duration);

  batching::Lane lane() const { return LaneOf(call); }

  DetectCall call;
  DetectResult result;
  std::unique_ptr<Admission::Place> place;
  absl::Duration device_deadline = absl::InfiniteDuration();  // on the steady clock
  std::shared_ptr<const ProductBank> product_bank;
  std::optional<double> manual_threshold;
  // Between device and rendering:
  image::FloatMap map;
  std::vector<image::FloatMap> level_maps;
  image::Image coloured;  // the map as it is to be shown, where the device has drawn it

 private:
  const Clock* const clock_;
  Observer* const observer_;
  const absl::Duration start_;
  std::atomic<bool> ended_ = false;
};

// What the device is to do for the job beyond encoding, if it finishes batches: not the maps of
// single levels, which few want, and not for methods that few products have.
FinishRequest FinishOf(const DetectJob& job);

// Score, threshold, verdict, maps and regions into job.result; everything after the device.
// INTERNAL if a picture can't be encoded or a value is not finite.
absl::Status Judge(DetectJob& job, const Clock& clock);

}  // namespace hfwa::engine
