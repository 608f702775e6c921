// hfwa-server with the fake engine, for tests of the process: arguments, signals, exit codes.
// --data names the failure that the engine is to start with, if any.

#include <map>
#include <string>

#include "absl/strings/cord.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/run.h"
#include "tests/server/fake_engine.h"

namespace {

absl::Status DeviceFailed(const char* message) {
  absl::Status status = absl::UnavailableError(message);
  status.SetPayload(hfwa::engine::kReasonPayload, absl::Cord("DEVICE_FAILED"));
  return status;
}

// Its device fails while it serves.
class FailingEngine : public hfwa::server::testing::FakeEngine {
 public:
  absl::Status healthy() const override {
    return absl::Now() < failure_ ? absl::OkStatus()
                                  : DeviceFailed("CUDA error: an illegal memory access");
  }

 private:
  const absl::Time failure_ = absl::Now() + absl::Milliseconds(500);
};

// The same, and it never comes to an end: a thread waits for the device.
class StuckEngine final : public FailingEngine {
 public:
  ~StuckEngine() override { absl::SleepFor(absl::InfiniteDuration()); }
};

absl::StatusOr<std::unique_ptr<hfwa::engine::Engine>> Make(const hfwa::server::ServerConfig& config,
                                                           hfwa::engine::Observer*) {
  if (config.data == "locked") return absl::AlreadyExistsError("held by process 1");
  if (config.data == "newer")
    return absl::FailedPreconditionError("schema 9 is newer than this program's 1");
  if (config.data == "damaged") return absl::DataLossError("database is damaged");
  if (config.data == "io") return absl::UnavailableError("I/O error");
  if (config.data == "device") return DeviceFailed("no GPU");
  if (config.data == "device-fails")
    return std::unique_ptr<hfwa::engine::Engine>(std::make_unique<FailingEngine>());
  if (config.data == "device-stuck")
    return std::unique_ptr<hfwa::engine::Engine>(std::make_unique<StuckEngine>());
  if (config.data == "model") return absl::NotFoundError("models/default: no such directory");
  return std::unique_ptr<hfwa::engine::Engine>(
      std::make_unique<hfwa::server::testing::FakeEngine>());
}

}  // namespace

int main(int argc, char** argv) { return hfwa::server::RunServer(argc, argv, Make); }
