#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace grpc {
class Status;
}
namespace google::rpc {
class Status;
}

namespace hfwa::client {

// What a server's error says beyond code and text (google.rpc details).
struct ErrorDetails {
  struct FieldViolation {
    std::string field;
    std::string description;
  };

  // Stable word for programs, such as "PRODUCT_NOT_FOUND"; empty if the server gave none.
  std::string reason;
  std::vector<FieldViolation> violations;
  // When the server wants to be asked again; unset if it didn't say.
  std::optional<absl::Duration> retry_delay;
};

// A gRPC status, or one that came inside a reply, as absl::Status. The message is the server's text
// followed by reason, fields and retry delay; DetailsOf() gives them to programs.
absl::Status ToStatus(const grpc::Status& status);
absl::Status ToStatus(const google::rpc::Status& status);

// The details of an error that ToStatus made; empty for any other.
ErrorDetails DetailsOf(const absl::Status& status);

}  // namespace hfwa::client
