#pragma once

// Keeps gRPC's health service truthful: asks the engine often, and never says SERVING again while
// draining.

#include <atomic>
#include <thread>

#include <grpcpp/health_check_service_interface.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/engine/engine.h"
#include "server/log.h"

namespace hfwa::server {

class HealthMonitor {
 public:
  // How old a health answer can be.
  static constexpr absl::Duration kPeriod = absl::Milliseconds(50);

  // Sets the first state before it returns. Both outlive the monitor.
  HealthMonitor(grpc::HealthCheckServiceInterface* service, engine::Engine* engine, Logger* log);
  ~HealthMonitor();

  // NOT_SERVING from now on.
  void Drain();
  bool device_failed() const { return device_failed_; }

 private:
  void Run();
  void Look() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Set(bool serving) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  grpc::HealthCheckServiceInterface* const service_;
  engine::Engine* const engine_;
  Logger* const log_;
  std::atomic<bool> device_failed_{false};
  absl::Mutex mu_;
  bool serving_ ABSL_GUARDED_BY(mu_) = false;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace hfwa::server
