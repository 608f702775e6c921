#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "client/client.h"

namespace hfwa::client {

// A channel as every client of ours uses them; its connection is built by the first call.
// `own_connection`: not shared with other channels to the same server. INVALID_ARGUMENT on nonsense
// in `options`.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ClientOptions& options,
                                                           bool own_connection = false);

}  // namespace hfwa::client
