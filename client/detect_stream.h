#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "hfwa/v1/detection_service.pb.h"

namespace hfwa::client {

struct DetectStreamOptions {
  // Images sent and not yet answered; Send waits when there are this many. At least 1.
  size_t max_in_flight = 16;
  // For each image from Send to its answer, retries included; unset: the client's default.
  std::optional<absl::Duration> deadline{};
  // A requested stop ends everything outstanding with CANCELLED.
  std::stop_token cancel{};
};

// Detects many images over one stream, several at a time.
//
// Each Send is answered by exactly one call of its callback, from a thread of the stream, one at a
// time, in whatever order answers come. An image that the server is too full for, and all that were
// outstanding when the stream broke, are sent again as the client's RetryPolicy says. Send is
// thread-safe; Finish is for one thread.
class DetectStream {
 public:
  using Callback = std::function<void(absl::StatusOr<v1::DetectResponse> response)>;

  // Cancels what is outstanding, as if a stop had been requested, and waits for the callbacks.
  virtual ~DetectStream() = default;

  // Hands over a request; waits while max_in_flight are outstanding. Don't call it from a callback.
  virtual void Send(v1::DetectRequest request, Callback done) = 0;

  // Waits until everything sent is answered, then closes. Nothing may be sent afterwards. OK if the
  // stream ended well; the images' own errors went to their callbacks.
  virtual absl::Status Finish() = 0;
};

}  // namespace hfwa::client
