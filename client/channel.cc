#include "client/channel.h"

#include <grpcpp/grpcpp.h>

namespace hfwa::client {
namespace {

// A float map of the largest image is 160 MB.
constexpr int kMaxReplyBytes = 256 << 20;

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ClientOptions& options,
                                                           bool own_connection) {
  if (options.target.empty()) return absl::InvalidArgumentError("the server's address is empty");
  if (options.default_deadline <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("the deadline must be longer than nothing");
  }
  if (options.retry.max_retries < 0) {
    return absl::InvalidArgumentError("the number of retries is less than 0");
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxReplyBytes);
  arguments.SetUserAgentPrefix("hfwa-client");
  // One layer retries: this one.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // A server that restarts should be found again in seconds, not after gRPC's two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5000);
  if (own_connection) arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto credentials = options.credentials ? options.credentials : grpc::InsecureChannelCredentials();
  return grpc::CreateCustomChannel(options.target, credentials, arguments);
}

}  // namespace hfwa::client
