#include "client/error.h"

#include <grpcpp/support/status.h>

#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "core/base/strings.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace hfwa::client {
namespace {

// Where the details ride in an absl::Status: a serialized google.rpc.Status.
constexpr char kPayloadUrl[] = "type.googleapis.com/google.rpc.Status";

// A duration from outside; nonsense counts as none.
std::optional<absl::Duration> FromProto(const google::protobuf::Duration& duration) {
  constexpr int64_t kMaxSeconds = 86400;
  if (duration.seconds() < 0 || duration.nanos() < 0 || duration.seconds() > kMaxSeconds ||
      duration.nanos() > 999'999'999) {
    return std::nullopt;
  }
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

ErrorDetails Parse(const google::rpc::Status& status) {
  ErrorDetails details;
  for (const auto& any : status.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad_request;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&info)) {
      details.reason = info.reason();
    } else if (any.UnpackTo(&bad_request)) {
      for (const auto& violation : bad_request.field_violations()) {
        details.violations.push_back({violation.field(), violation.description()});
      }
    } else if (any.UnpackTo(&retry) && retry.has_retry_delay()) {
      details.retry_delay = FromProto(retry.retry_delay());
    }
  }
  return details;
}

std::string Describe(const std::string& text, const ErrorDetails& details) {
  std::string message = text;
  for (const auto& violation : details.violations) {
    // Servers often put the one violation into the text as well.
    if (!violation.description.empty() && text.find(violation.description) != std::string::npos &&
        text.find(violation.field) != std::string::npos) {
      continue;
    }
    absl::StrAppend(&message, message.empty() ? "" : "; ", violation.field, ": ",
                    violation.description);
  }
  if (!details.reason.empty()) {
    absl::StrAppend(&message, message.empty() ? "" : " ", "[", details.reason, "]");
  }
  if (details.retry_delay.has_value()) {
    absl::StrAppend(&message, message.empty() ? "" : "; ", "retry after ",
                    absl::FormatDuration(*details.retry_delay));
  }
  return message;
}

absl::Status Make(int code, const std::string& text, const google::rpc::Status& details) {
  if (code == 0) return absl::OkStatus();
  // The numbers of gRPC, google.rpc.Code and absl are the same; others are nobody's.
  const auto absl_code =
      code >= 1 && code <= 16 ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown;
  absl::Status status(absl_code, ToAbsl(Describe(text, Parse(details))));
  if (details.details_size() > 0) {
    status.SetPayload(kPayloadUrl, absl::Cord(details.SerializeAsString()));
  }
  return status;
}

}  // namespace

absl::Status ToStatus(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) details.Clear();
  return Make(status.error_code(), status.error_message(), details);
}

absl::Status ToStatus(const google::rpc::Status& status) {
  return Make(status.code(), status.message(), status);
}

ErrorDetails DetailsOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadUrl);
  google::rpc::Status details;
  if (!payload.has_value() || !details.ParseFromString(std::string(*payload))) return {};
  return Parse(details);
}

}  // namespace hfwa::client
