#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/batching/planner.h"
#include "core/batching/shared_room.h"
#include "core/engine/encoder.h"

namespace hfwa::engine {

// Who may have a picture in the engine, from its arrival to its reply, and how many bytes all of
// them hold: decided before anything is decoded. Thread-safe.
class Admission {
 public:
  // `encoder` outlives the admission, which outlives its places.
  Admission(int images_max, int64_t bytes_max, const Encoder* encoder)
      : encoder_(encoder), room_(images_max, bytes_max) {}

  // A picture's place, given back at the end of its life. One thread at a time.
  class Place {
   public:
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    // More bytes for a while, such as those of the decoded picture. RESOURCE_EXHAUSTED where they
    // are not there.
    absl::Status Hold(int64_t bytes);
    void Release(int64_t bytes);
    // It is no longer on its way to the encoder: it is there, or will not come.
    void Arrived();

   private:
    friend class Admission;
    Place(Admission* admission, batching::SharedRoom::Holder holder, int64_t bytes)
        : admission_(admission), holder_(holder), bytes_(bytes) {}

    Admission* const admission_;
    const batching::SharedRoom::Holder holder_;
    int64_t bytes_;
    bool coming_ = true;
  };

  struct Request {
    batching::Lane lane = batching::Lane::kLive;
    uint64_t product = 0;
    int64_t bytes = 0;
    absl::Duration deadline = absl::InfiniteDuration();  // on the steady clock
  };
  // RESOURCE_EXHAUSTED where there is no room; DEADLINE_EXCEEDED where what was taken in before
  // leaves no time; UNAVAILABLE while draining.
  absl::StatusOr<std::unique_ptr<Place>> Take(const Request& request);
  // The same for those who can wait: for room, up to `patience`.
  absl::StatusOr<std::unique_ptr<Place>> TakeWaiting(const Request& request,
                                                     absl::Duration patience);

  // Nobody is taken in from now on. Returns when all places are given back, or at the timeout.
  void Drain(absl::Duration timeout);
  absl::Status draining() const;  // UNAVAILABLE if so
  int64_t bytes() const;          // held by all

 private:
  absl::Status TakeRoom(const Request& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  int& Coming(const batching::SharedRoom::Holder& holder) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return coming_[static_cast<size_t>(holder.first)];
  }

  const Encoder* const encoder_;
  mutable absl::Mutex mu_;  // taken before the encoder's
  absl::CondVar freed_;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  batching::SharedRoom room_ ABSL_GUARDED_BY(mu_);
  std::array<int, batching::kLanes> coming_ ABSL_GUARDED_BY(mu_) = {};
};

}  // namespace hfwa::engine
