#pragma once

// The program from its arguments to its exit code.

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "core/engine/engine.h"
#include "server/config.h"

namespace hfwa::server {

// sysexits.h, as far as the program uses them. docs/configuration.md lists them.
enum ExitCode {
  kExitOk = 0,
  kExitUsage = 64,          // arguments
  kExitData = 65,           // stored data damaged, or written by a newer program
  kExitDevice = 69,         // device not available
  kExitInternal = 70,       // a fault of the program, or the device failed while serving
  kExitCannotCreate = 73,   // data directory or socket
  kExitIo = 74,             // I/O error, disk full
  kExitLocked = 75,         // another server holds the data directory
  kExitConfiguration = 78,  // a setting, or the model that it names
};

ExitCode ExitCodeOf(const absl::Status& status);

using EngineFactory = std::function<absl::StatusOr<std::unique_ptr<engine::Engine>>(
    const ServerConfig& config, engine::Observer* observer)>;

// Runs until SIGTERM or SIGINT. Call it before any thread is started: it blocks signals in the
// calling thread.
int RunServer(int argc, const char* const* argv, const EngineFactory& make_engine);

}  // namespace hfwa::server
