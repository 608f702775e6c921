#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cli/run.h"
#include "client/client.h"

namespace hfwa::cli {

// What all commands share: the global options, the terminal and the connection.
struct Context {
  Terminal& terminal;
  std::stop_token interrupt;

  std::string server = "localhost:50051";
  std::string deadline{};  // As given; empty for the default.
  std::string ca_file{};
  bool tls = false;
  bool json = false;
  bool no_progress = false;

  // What the options say of the connection, and that connection.
  absl::StatusOr<client::ClientOptions> ConnectOptions() const;
  absl::StatusOr<client::Client> Connect() const;
  absl::StatusOr<std::optional<absl::Duration>> Deadline() const;
  // For every call; the deadline must have been found valid (Connect does).
  client::CallOptions Call() const;

  bool ShowsProgress() const { return terminal.progress && !no_progress && !json; }
  // Writes "hfwa: what: message" to the error stream and returns the exit code that fits.
  int Fail(const std::string& what, const absl::Status& status) const;
  int ExitCodeOf(const absl::Status& status) const;
};

}  // namespace hfwa::cli
