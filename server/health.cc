#include "server/health.h"

#include "server/errors.h"
#include "server/server.h"

namespace hfwa::server {

HealthMonitor::HealthMonitor(grpc::HealthCheckServiceInterface* service, engine::Engine* engine,
                             Logger* log)
    : service_(service), engine_(engine), log_(log) {
  {
    absl::MutexLock lock(&mu_);
    Set(false);
    service_->SetServingStatus(kLivenessName, true);
    Look();
  }
  thread_ = std::thread([this] { Run(); });
}

HealthMonitor::~HealthMonitor() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.join();
}

void HealthMonitor::Drain() {
  absl::MutexLock lock(&mu_);
  draining_ = true;
  Set(false);
}

void HealthMonitor::Set(bool serving) {
  serving_ = serving;
  for (const char* name : kReadinessNames) service_->SetServingStatus(name, serving);
}

void HealthMonitor::Look() {
  if (draining_) return;
  const absl::Status status = Guard([this] { return engine_->healthy(); });
  if (!device_failed_ && !status.ok() && ReasonOf(status) == reason::kDeviceFailed) {
    device_failed_ = true;
    service_->SetServingStatus(kLivenessName, false);
  }
  if (status.ok() == serving_) return;
  Set(status.ok());
  if (status.ok()) {
    log_->Info("health is SERVING");
  } else {
    log_->Error("health is NOT_SERVING", {{"error", status.ToString()}});
  }
}

void HealthMonitor::Run() {
  absl::MutexLock lock(&mu_);
  while (!mu_.AwaitWithTimeout(absl::Condition(&stopping_), kPeriod)) Look();
}

}  // namespace hfwa::server
