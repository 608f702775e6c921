#pragma once

// What Detect and DetectStream share: check, translate, call the engine, translate back.

#include <atomic>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "hfwa/v1/detection_service.pb.h"
#include "server/call.h"

namespace hfwa::server {

// Judges `request`'s image. `done` runs exactly once, from a thread of the engine or from here,
// with the reply in `response` if the status is OK, and after `call.End`. `request`, `response` and
// `call` live until then. Never throws. Fields of errors are named from `field_prefix` on.
void StartDetect(const Shared& shared, Call& call, const v1::DetectRequest& request,
                 absl::Duration deadline, const std::shared_ptr<std::atomic<bool>>& cancelled,
                 const char* field_prefix, v1::DetectResponse* response,
                 std::function<void(const absl::Status&)> done);

}  // namespace hfwa::server
