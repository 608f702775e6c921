#pragma once

// The gRPC server and what goes with it: pools, health, metrics endpoint.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/engine/engine.h"
#include "server/config.h"
#include "server/log.h"
#include "server/metrics.h"

namespace hfwa::server {

// A server that runs from Start to Stop. Thread-safe but for Stop, which is called once.
class Server {
 public:
  // FAILED_PRECONDITION when an address cannot be listened on. `engine` is ready; engine, metrics
  // and log outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerConfig& config,
                                                       engine::Engine* engine, Metrics* metrics,
                                                       Logger* log);
  virtual ~Server() = default;

  // "127.0.0.1:50051", with the port that was taken.
  virtual std::string grpc_address() const = 0;
  virtual std::string metrics_address() const = 0;  // empty: none

  // Health says NOT_SERVING from now on; calls are still answered.
  virtual void StopServing() = 0;
  // New calls are refused, admitted ones finished; gives up at `timeout` from now and cancels what
  // is left.
  virtual void Stop(absl::Duration timeout) = 0;
  // True once the engine reported a device that will not come back.
  virtual bool device_failed() const = 0;
};

// Names of the health service that follow the engine; "liveness" follows the process alone.
inline constexpr const char* kReadinessNames[] = {
    "", "hfwa.v1", "hfwa.v1.ProductService", "hfwa.v1.DetectionService", "hfwa.v1.ModelService"};
inline constexpr char kLivenessName[] = "liveness";

}  // namespace hfwa::server
