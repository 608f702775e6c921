#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/base/thread_pool.h"
#include "lab/train/samples.h"

namespace hfwa::lab::train {

// Reads and decodes ahead of the computation, in threads; batches come in the epoch's order
// whatever the threads' number and speed. One thread calls it.
class Loader {
 public:
  // `batches_ahead` batches are made or being made besides the one that was taken. `samples` must
  // outlive it.
  Loader(const Samples& samples, int64_t batch, int threads, int batches_ahead);

  // Begins an epoch at the batch of that number.
  void Start(int epoch, int64_t first_batch);
  // The last one may be short; empty at the end of the epoch.
  absl::StatusOr<std::vector<Sample>> Next();
  int64_t batches() const { return (samples_.size() + batch_ - 1) / batch_; }

 private:
  // One sample being made.
  struct Slot {
    absl::Mutex mu;
    bool done ABSL_GUARDED_BY(mu) = false;
    absl::StatusOr<Sample> sample ABSL_GUARDED_BY(mu) = absl::UnknownError("not made");
  };
  void Fill();

  const Samples& samples_;
  const int64_t batch_;
  const int64_t ahead_;
  int epoch_ = 0;
  std::vector<int64_t> order_;
  int64_t next_taken_ = 0;  // place of the epoch
  int64_t next_made_ = 0;
  std::deque<std::shared_ptr<Slot>> slots_;
  ThreadPool pool_;  // last: its threads end before what they write to
};

}  // namespace hfwa::lab::train
