#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "core/base/clock.h"
#include "core/batching/batcher.h"
#include "core/engine/batch_epilogue.h"
#include "core/engine/observer.h"
#include "core/engine/part_runner.h"
#include "core/engine/transfer.h"
#include "core/model/graphed_forward.h"
#include "core/model/hfwa.h"

namespace hfwa::engine {

// What the model says of one image. fp32, on the model's device.
struct Encoded {
  double text_probability = 0;  // of "anomalous"; unused without language side
  at::Tensor language_diff;     // [n, g, g]; undefined without language side
  at::Tensor tokens;            // [n, L, E], L2-normalised
  absl::Duration queue_time;
  absl::Duration encode_time;  // of the whole batch
  absl::Duration finish_time;  // matching and maps of the whole batch
  int batch_size = 1;
  std::optional<FinishedMap> finished;  // where it was asked for and the device does it by batches
};

// The model behind its batcher: whoever wants the device goes through here. Thread-safe.
class Encoder {
 public:
  using Done = std::function<void(absl::StatusOr<Encoded>)>;

  struct Request {
    at::Tensor image;  // [3, S, S] fp32
    int class_index = 0;
    batching::Lane lane = batching::Lane::kLive;
    uint64_t product = 0;  // whose share of the lane it counts against
    absl::Duration deadline = absl::InfiniteDuration();
    bool promised = false;  // see batching::ItemInfo
    std::function<bool()> cancelled = [] { return false; };
    FinishRequest finish;
  };

  // `errors_stick`: whether the device fails for good with its first INTERNAL error; a GPU does,
  // where nothing is said.
  Encoder(std::unique_ptr<model::Hfwa> model, const batching::PlannerOptions& options,
          absl::Duration hang_limit, const Clock* clock, Observer* observer,
          std::optional<bool> errors_stick);
  Encoder(std::unique_ptr<model::Hfwa> model, const batching::PlannerOptions& options,
          absl::Duration hang_limit, const Clock* clock, Observer* observer);
  ~Encoder();

  // Runs the model for the smallest and for a larger batch; on a GPU, which prepares itself anew
  // for every size, for all up to `batch_max`: so that the first callers do not pay for it and the
  // cost model knows the device.
  absl::Status WarmUp(int batch_max);

  // From now on by CUDA graphs, for batches up to `batch_max`; before the first Encode. UNAVAILABLE
  // where there are none.
  absl::Status UseGraphs(int batch_max);

  // `done` is called exactly once: on the device thread, where more work on the device may be done,
  // or, when refused, on the caller's or the reaper's.
  void Encode(Request request, const Done& done);

  // The same, waiting.
  absl::StatusOr<Encoded> EncodeNow(Request request);

  // Ends the batch that runs; what waits and what comes is refused with UNAVAILABLE.
  void Close() { batcher_->Close(); }

  // Runs `task` on the device thread between batches and waits for it. Keep each one short.
  absl::Status RunTask(batching::Lane lane, std::function<absl::Status()> task);

  // See BatchPlanner::WouldAdmit.
  absl::Status WouldAdmit(const batching::ItemInfo& info, int coming) const {
    return batcher_->WouldAdmit(info, coming);
  }

  const model::Hfwa& model() const { return *model_; }
  absl::Duration EstimatedWait(batching::Lane lane) const { return batcher_->EstimatedWait(lane); }
  // Not OK once the device failed for good, or hangs.
  absl::Status healthy() const;
  // The status of what LibTorch threw on the device thread; an error of a GPU stays with the
  // process, so the device counts as failed then.
  absl::Status DeviceError(const std::exception& error);

 private:
  static constexpr int kWarmSizeMax = 64;
  struct Work;
  struct Task;

  using Works = absl::Span<Work* const>;

  void Run(std::vector<std::unique_ptr<batching::Item>> items, batching::Reason reason);
  // Encodes some images of a batch and ends their works; on an error none is ended.
  absl::Status RunPart(Works works);
  absl::StatusOr<model::ForwardResult> Forward(Works works, std::vector<double>& probabilities);
  // Runs a made-up batch, to its end.
  absl::StatusOr<absl::Duration> TimeBatch(int size);
  // The same, for the cost model.
  absl::Status LearnBatch(int size);
  absl::StatusOr<model::ForwardResult> ForwardBatch(const at::Tensor& images,
                                                    absl::Span<const int> classes) {
    return graphed_ != nullptr ? graphed_->Forward(images, classes)
                               : model_->Forward(images, classes);
  }
  absl::Status Failed(absl::Status status);

  const std::unique_ptr<model::Hfwa> model_;
  const absl::Duration hang_limit_;
  const Clock* const clock_;
  Observer* const observer_;
  const bool errors_stick_;
  const bool finishes_;  // the model's kernels finish batches
  const Uploader uploader_;
  PartRunner parts_;                                // of the device thread
  std::unique_ptr<model::GraphedForward> graphed_;  // likewise; null: no graphs
  mutable absl::Mutex mu_;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);  // sticky
  std::unique_ptr<batching::Batcher> batcher_;
};

}  // namespace hfwa::engine
