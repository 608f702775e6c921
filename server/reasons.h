#pragma once

// The reasons of google.rpc.ErrorInfo, all of them. docs/api.md lists the same; a test compares.

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace hfwa::server {

inline constexpr char kErrorDomain[] = "hfwa.dev";

struct Reason {
  const char* name;
  absl::StatusCode code;
  const char* meaning;
  const char* advice;  // what a client should do
  int retry_after_ms;  // RetryInfo unless the engine knows better; 0: no RetryInfo
};

namespace reason {
inline constexpr char kInvalidField[] = "INVALID_FIELD";
inline constexpr char kImageInvalid[] = "IMAGE_INVALID";
inline constexpr char kMalformedMessage[] = "MALFORMED_MESSAGE";
inline constexpr char kPageTokenInvalid[] = "PAGE_TOKEN_INVALID";
inline constexpr char kRequestIdReused[] = "REQUEST_ID_REUSED";
inline constexpr char kStreamOrder[] = "STREAM_ORDER";
inline constexpr char kTooManyImages[] = "TOO_MANY_IMAGES";
inline constexpr char kProductNotFound[] = "PRODUCT_NOT_FOUND";
inline constexpr char kReferenceNotFound[] = "REFERENCE_NOT_FOUND";
inline constexpr char kModelNotFound[] = "MODEL_NOT_FOUND";
inline constexpr char kProductExists[] = "PRODUCT_EXISTS";
inline constexpr char kNoReferences[] = "NO_REFERENCES";
inline constexpr char kTooManyReferences[] = "TOO_MANY_REFERENCES";
inline constexpr char kEtagMismatch[] = "ETAG_MISMATCH";
inline constexpr char kQueueFull[] = "QUEUE_FULL";
inline constexpr char kMemoryFull[] = "MEMORY_FULL";
inline constexpr char kTooManyRegistrations[] = "TOO_MANY_REGISTRATIONS";
inline constexpr char kDiskFull[] = "DISK_FULL";
inline constexpr char kDeadlineExceeded[] = "DEADLINE_EXCEEDED";
inline constexpr char kIdle[] = "IDLE";
inline constexpr char kCancelled[] = "CANCELLED";
inline constexpr char kDraining[] = "DRAINING";
inline constexpr char kDeviceFailed[] = "DEVICE_FAILED";
inline constexpr char kStoreUnavailable[] = "STORE_UNAVAILABLE";
inline constexpr char kUnavailable[] = "UNAVAILABLE";
inline constexpr char kDataDamaged[] = "DATA_DAMAGED";
inline constexpr char kInternal[] = "INTERNAL";
}  // namespace reason

absl::Span<const Reason> Reasons();
// Null if there is none of that name.
const Reason* FindReason(std::string_view name);
// "INVALID_ARGUMENT", ...
std::string_view CodeName(absl::StatusCode code);
// The table of docs/api.md.
std::string ReasonsMarkdown();

}  // namespace hfwa::server
