#pragma once

// How a DetectStream is made; for client.cc alone.

#include <memory>

#include "absl/time/time.h"
#include "client/detect_stream.h"
#include "client/retry.h"

namespace grpc {
class Channel;
}

namespace hfwa::client {

// `default_deadline` applies where `options` gives none.
std::unique_ptr<DetectStream> NewDetectStream(std::shared_ptr<grpc::Channel> channel,
                                              std::shared_ptr<Retrier> retrier,
                                              absl::Duration default_deadline,
                                              DetectStreamOptions options);

}  // namespace hfwa::client
