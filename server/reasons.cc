#include "server/reasons.h"

#include "absl/strings/str_format.h"

namespace hfwa::server {
namespace {

constexpr char kFixRequest[] = "Change the request; the same one fails again.";
constexpr char kRetryLater[] = "Repeat after RetryInfo's delay, with a growing and random pause.";

constexpr Reason kReasons[] = {
    {reason::kInvalidField, absl::StatusCode::kInvalidArgument,
     "A field breaks its rule; BadRequest names it.", kFixRequest, 0},
    {reason::kImageInvalid, absl::StatusCode::kInvalidArgument,
     "The image cannot be read or is beyond a limit; BadRequest names the field.", kFixRequest, 0},
    {reason::kMalformedMessage, absl::StatusCode::kInvalidArgument,
     "The request is not a well-formed message, for example text that is not UTF-8.", kFixRequest,
     0},
    {reason::kPageTokenInvalid, absl::StatusCode::kInvalidArgument,
     "The page token is not one of this list.", "Start again from the first page.", 0},
    {reason::kRequestIdReused, absl::StatusCode::kInvalidArgument,
     "The request id came within 24 h with other contents.",
     "Take a new request id for a new request.", 0},
    {reason::kStreamOrder, absl::StatusCode::kInvalidArgument,
     "AddReferences: the first message must be `config`, all others `item`.", kFixRequest, 0},
    {reason::kTooManyImages, absl::StatusCode::kInvalidArgument,
     "AddReferences: more images in one stream than the server takes.",
     "Send them in several streams.", 0},
    {reason::kProductNotFound, absl::StatusCode::kNotFound, "There is no such product.",
     "Create the product, or correct the name.", 0},
    {reason::kReferenceNotFound, absl::StatusCode::kNotFound,
     "The product has no such reference, or there is no such product.", "Correct the name.", 0},
    {reason::kModelNotFound, absl::StatusCode::kNotFound, "Only `models/current` exists.",
     "Correct the name.", 0},
    {reason::kProductExists, absl::StatusCode::kAlreadyExists, "A product of that id exists.",
     "Use it, or take another id.", 0},
    {reason::kNoReferences, absl::StatusCode::kFailedPrecondition,
     "The model, or the product's method, needs references and the product has none.",
     "Register references first, or set method `HFWA` where the model has a language side.", 0},
    {reason::kTooManyReferences, absl::StatusCode::kFailedPrecondition,
     "The product would have more references than its limit, an eighth as many with method "
     "`ANOMALY_DINO`.",
     "Delete references, add fewer, or keep the method.", 0},
    {reason::kEtagMismatch, absl::StatusCode::kAborted,
     "The product has changed since the etag was read.", "Read it again, then decide.", 0},
    {reason::kIdle, absl::StatusCode::kAborted,
     "No message came on the stream for longer than the server's idle-timeout; of an AddReferences "
     "nothing was registered.",
     "Open the stream again when there is something to send.", 0},
    {reason::kQueueFull, absl::StatusCode::kResourceExhausted, "The server is full.", kRetryLater,
     1000},
    {reason::kMemoryFull, absl::StatusCode::kResourceExhausted,
     "The server has no memory for the image.", kRetryLater, 1000},
    {reason::kTooManyRegistrations, absl::StatusCode::kResourceExhausted,
     "As many registrations are running as the server takes at once.", kRetryLater, 2000},
    {reason::kDiskFull, absl::StatusCode::kResourceExhausted,
     "The server's disk is full; Detect goes on.", "Call the operator; repeat when there is space.",
     0},
    {reason::kDeadlineExceeded, absl::StatusCode::kDeadlineExceeded,
     "The call cannot be, or was not, answered before its deadline.",
     "Give it more time, or fewer calls at once; where RetryInfo comes, the queue is shorter "
     "after its delay.",
     0},
    {reason::kCancelled, absl::StatusCode::kCancelled, "The caller gave the call up.", "None.", 0},
    {reason::kDraining, absl::StatusCode::kUnavailable, "The server is about to end.",
     "Repeat at once on another server, or here after RetryInfo's delay.", 1000},
    {reason::kDeviceFailed, absl::StatusCode::kUnavailable,
     "The device has failed; the server will end itself.", kRetryLater, 5000},
    {reason::kStoreUnavailable, absl::StatusCode::kUnavailable,
     "The data directory cannot be read or written.", kRetryLater, 5000},
    {reason::kUnavailable, absl::StatusCode::kUnavailable,
     "The server cannot answer at the moment.", kRetryLater, 1000},
    {reason::kDataDamaged, absl::StatusCode::kDataLoss, "Stored data failed its checksum.",
     "Call the operator.", 0},
    {reason::kInternal, absl::StatusCode::kInternal,
     "A fault of the server. The message holds the request id and nothing else; the log holds the "
     "rest.",
     "Report the request id.", 0},
};

}  // namespace

absl::Span<const Reason> Reasons() { return kReasons; }

const Reason* FindReason(std::string_view name) {
  for (const Reason& reason : kReasons) {
    if (name == reason.name) return &reason;
  }
  return nullptr;
}

std::string_view CodeName(absl::StatusCode code) {
  static constexpr std::string_view kNames[] = {"OK",
                                                "CANCELLED",
                                                "UNKNOWN",
                                                "INVALID_ARGUMENT",
                                                "DEADLINE_EXCEEDED",
                                                "NOT_FOUND",
                                                "ALREADY_EXISTS",
                                                "PERMISSION_DENIED",
                                                "RESOURCE_EXHAUSTED",
                                                "FAILED_PRECONDITION",
                                                "ABORTED",
                                                "OUT_OF_RANGE",
                                                "UNIMPLEMENTED",
                                                "INTERNAL",
                                                "UNAVAILABLE",
                                                "DATA_LOSS",
                                                "UNAUTHENTICATED"};
  const auto i = static_cast<size_t>(code);
  return i < std::size(kNames) ? kNames[i] : "UNKNOWN";
}

std::string ReasonsMarkdown() {
  std::string text =
      "| reason | code | meaning | what to do | RetryInfo |\n|---|---|---|---|---|\n";
  for (const Reason& r : kReasons) {
    absl::StrAppendFormat(&text, "| `%s` | %s | %s | %s | %s |\n", r.name,
                          std::string(CodeName(r.code)), r.meaning, r.advice,
                          r.retry_after_ms > 0 ? "yes" : "no");
  }
  return text;
}

}  // namespace hfwa::server
