#pragma once

// From absl::Status to what a caller sees: code, message and google.rpc details. What the engine
// attaches (core/engine/engine.h: kReasonPayload, kFieldPayload, kRetryPayload) and what is
// attached here end in the same details: ErrorInfo always; BadRequest, ResourceInfo,
// PreconditionFailure and RetryInfo where they apply.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"
#include "server/reasons.h"

namespace hfwa::server {

struct FieldViolation {
  std::string field;        // path in the request, "product.labels"
  std::string description;  // fit for the caller
};

// User text fit for a message: escaped, at most 80 bytes of it, in quotes.
std::string Quote(std::string_view user_text);

// An error of the table; its code comes from there.
absl::Status ReasonError(std::string_view reason, std::string_view message);
// INVALID_FIELD with its violations; `violations` is not empty.
absl::Status InvalidFields(const std::vector<FieldViolation>& violations,
                           std::string_view reason = reason::kInvalidField);
// NOT_FOUND and ALREADY_EXISTS carry the resource's type ("hfwa.dev/Product") and name.
absl::Status ResourceError(std::string_view reason, std::string_view type, std::string_view name);

// Gives an error of the store, which knows no reasons, the reason that its code means there, and
// the resource. An INVALID_ARGUMENT without a field is a request id that came with other contents.
absl::Status FromStore(const absl::Status& status, std::string_view type, std::string_view name);

// Puts `prefix` before the fields of the error: "request." for what lies in a DetectStreamRequest.
absl::Status PrefixFields(const absl::Status& status, std::string_view prefix);

// The ErrorInfo reason that ToRpcStatus will give.
std::string ReasonOf(const absl::Status& status);
// INTERNAL, UNKNOWN and codes without a reason become INTERNAL: the request id and nothing else.
google::rpc::Status ToRpcStatus(const absl::Status& status, const std::string& request_id);
grpc::Status ToGrpcStatus(const absl::Status& status, const std::string& request_id);

// Runs `f`, which returns absl::Status; an exception becomes INTERNAL. gRPC 1.51 swallows what
// leaves a reaction and the call then hangs.
template <typename F>
absl::Status Guard(F&& f) noexcept {
  try {
    return std::forward<F>(f)();
  } catch (const std::bad_alloc&) {
    return ReasonError(reason::kMemoryFull, "the server is out of memory");
  } catch (const std::exception& e) {
    return absl::InternalError(e.what());
  } catch (...) {
    return absl::InternalError("exception of unknown type");
  }
}

}  // namespace hfwa::server
