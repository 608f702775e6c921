#include "server/errors.h"

#include <algorithm>
#include <optional>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/strings.h"
#include "core/engine/engine.h"
#include "google/rpc/error_details.pb.h"

namespace hfwa::server {
namespace {

constexpr char kBadRequestPayload[] = "hfwa.dev/bad-request";
constexpr char kResourcePayload[] = "hfwa.dev/resource";
// Details travel in a trailer, which shares 8 kB with all others.
constexpr size_t kMessageMax = 512;
constexpr size_t kDescriptionMax = 200;
constexpr int kViolationsMax = 8;

std::optional<std::string> Payload(const absl::Status& status, const char* url) {
  const auto payload = status.GetPayload(url);
  if (!payload.has_value()) return std::nullopt;
  return std::string(*payload);
}

// Valid UTF-8 of at most `max` bytes: protobuf serialises nothing else.
std::string Clip(std::string text, size_t max) {
  if (!IsValidUtf8(text)) text = absl::CHexEscape(text);
  if (text.size() <= max) return text;
  size_t end = max - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

bool IsFault(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDataLoss:
      return false;
    default:
      return true;
  }
}

// What a code means when the engine gave no reason.
const char* DefaultReason(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument: {
      const std::string field = Payload(status, engine::kFieldPayload).value_or("");
      return field.find("image") != std::string::npos ? reason::kImageInvalid
                                                      : reason::kInvalidField;
    }
    case absl::StatusCode::kNotFound:
      return reason::kProductNotFound;
    case absl::StatusCode::kAlreadyExists:
      return reason::kProductExists;
    case absl::StatusCode::kFailedPrecondition:
      return reason::kNoReferences;
    case absl::StatusCode::kAborted:
      return reason::kEtagMismatch;
    case absl::StatusCode::kResourceExhausted:
      return reason::kQueueFull;
    case absl::StatusCode::kDeadlineExceeded:
      return reason::kDeadlineExceeded;
    case absl::StatusCode::kCancelled:
      return reason::kCancelled;
    case absl::StatusCode::kUnavailable:
      return reason::kUnavailable;
    case absl::StatusCode::kDataLoss:
      return reason::kDataDamaged;
    default:
      return reason::kInternal;
  }
}

google::rpc::BadRequest BadRequestOf(const absl::Status& status) {
  google::rpc::BadRequest bad;
  if (const auto own = Payload(status, kBadRequestPayload)) {
    bad.ParseFromString(*own);
  } else if (const auto field = Payload(status, engine::kFieldPayload)) {
    auto* violation = bad.add_field_violations();
    violation->set_field(Clip(*field, kDescriptionMax));
    violation->set_description(Clip(std::string(status.message()), kDescriptionMax));
  }
  return bad;
}

void AddBadRequest(const absl::Status& status, const std::string& why, google::rpc::ErrorInfo* info,
                   google::rpc::Status* out) {
  google::rpc::BadRequest bad = BadRequestOf(status);
  if (bad.field_violations_size() == 0) return;
  for (auto& violation : *bad.mutable_field_violations()) violation.set_reason(why);
  (*info->mutable_metadata())["field"] = bad.field_violations(0).field();
  out->add_details()->PackFrom(bad);
}

void AddRetry(const absl::Status& status, const Reason& why, google::rpc::Status* out) {
  int64_t ms = why.retry_after_ms;
  if (const auto text = Payload(status, engine::kRetryPayload)) {
    int64_t given = 0;
    if (absl::SimpleAtoi(*text, &given) && given > 0) ms = std::min<int64_t>(given, 3'600'000);
  }
  if (ms <= 0) return;
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(ms / 1000);
  retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(ms % 1000) * 1'000'000);
  out->add_details()->PackFrom(retry);
}

}  // namespace

std::string Quote(std::string_view user_text) {
  const bool clipped = user_text.size() > 80;
  return absl::StrCat("\"", absl::CHexEscape(ToAbsl(user_text.substr(0, 80))),
                      clipped ? "\"..." : "\"");
}

absl::Status ReasonError(std::string_view reason_name, std::string_view message) {
  const Reason* found = FindReason(reason_name);
  absl::Status status(found == nullptr ? absl::StatusCode::kInternal : found->code,
                      ToAbsl(message));
  status.SetPayload(engine::kReasonPayload, absl::Cord(ToAbsl(reason_name)));
  return status;
}

absl::Status InvalidFields(const std::vector<FieldViolation>& violations,
                           std::string_view reason_name) {
  google::rpc::BadRequest bad;
  for (const FieldViolation& violation : violations) {
    if (bad.field_violations_size() == kViolationsMax) break;
    auto* out = bad.add_field_violations();
    out->set_field(Clip(violation.field, kDescriptionMax));
    out->set_description(Clip(violation.description, kDescriptionMax));
  }
  const auto& first = bad.field_violations(0);
  absl::Status status =
      ReasonError(reason_name, absl::StrCat(first.field(), ": ", first.description()));
  status.SetPayload(kBadRequestPayload, absl::Cord(bad.SerializeAsString()));
  return status;
}

absl::Status ResourceError(std::string_view reason_name, std::string_view type,
                           std::string_view name) {
  const Reason* found = FindReason(reason_name);
  const bool exists = found != nullptr && found->code == absl::StatusCode::kAlreadyExists;
  const std::string shown = Clip(std::string(name), kDescriptionMax);
  absl::Status status =
      ReasonError(reason_name, absl::StrCat(shown, exists ? " exists" : " does not exist"));
  google::rpc::ResourceInfo resource;
  resource.set_resource_type(std::string(type));
  resource.set_resource_name(shown);
  status.SetPayload(kResourcePayload, absl::Cord(resource.SerializeAsString()));
  return status;
}

absl::Status FromStore(const absl::Status& status, std::string_view type, std::string_view name) {
  if (status.ok() || status.GetPayload(engine::kReasonPayload).has_value()) return status;
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return ResourceError(
          type == "hfwa.dev/Reference" ? reason::kReferenceNotFound : reason::kProductNotFound,
          type, name);
    case absl::StatusCode::kAlreadyExists:
      return ResourceError(reason::kProductExists, type, name);
    case absl::StatusCode::kInvalidArgument:
      if (status.GetPayload(engine::kFieldPayload).has_value()) return status;
      return InvalidFields(
          {{"request_id", "was used within 24 h for a request with other contents"}},
          reason::kRequestIdReused);
    case absl::StatusCode::kFailedPrecondition:
      return ReasonError(reason::kTooManyReferences, ToStd(status.message()));
    case absl::StatusCode::kResourceExhausted:
      return ReasonError(reason::kDiskFull, "the server's disk is full");
    case absl::StatusCode::kUnavailable:
      // The text may name files.
      return ReasonError(reason::kStoreUnavailable, "the data directory cannot be read or written");
    case absl::StatusCode::kAborted:
      return ReasonError(reason::kEtagMismatch, "the etag is not the current one");
    default:
      return status;
  }
}

absl::Status PrefixFields(const absl::Status& status, std::string_view prefix) {
  absl::Status prefixed = status;
  if (const auto own = Payload(status, kBadRequestPayload)) {
    google::rpc::BadRequest bad;
    bad.ParseFromString(*own);
    for (auto& violation : *bad.mutable_field_violations()) {
      violation.set_field(absl::StrCat(ToAbsl(prefix), violation.field()));
    }
    prefixed.SetPayload(kBadRequestPayload, absl::Cord(bad.SerializeAsString()));
  }
  if (const auto field = Payload(status, engine::kFieldPayload)) {
    prefixed.SetPayload(engine::kFieldPayload, absl::Cord(absl::StrCat(ToAbsl(prefix), *field)));
  }
  return prefixed;
}

std::string ReasonOf(const absl::Status& status) {
  if (IsFault(status.code())) return reason::kInternal;
  if (const auto given = Payload(status, engine::kReasonPayload)) {
    const Reason* found = FindReason(*given);
    if (found != nullptr && found->code == status.code()) return *given;
  }
  return DefaultReason(status);
}

google::rpc::Status ToRpcStatus(const absl::Status& status, const std::string& request_id) {
  google::rpc::Status out;
  if (status.ok()) return out;
  const std::string why = ReasonOf(status);
  const Reason& entry = *FindReason(why);
  const bool fault = entry.code == absl::StatusCode::kInternal;
  out.set_code(static_cast<int>(entry.code));
  out.set_message(fault ? absl::StrCat("internal error, request id ", request_id)
                        : Clip(std::string(status.message()), kMessageMax));

  google::rpc::ErrorInfo info;
  info.set_reason(why);
  info.set_domain(kErrorDomain);
  (*info.mutable_metadata())["request_id"] = request_id;
  google::rpc::Status rest;
  if (entry.code == absl::StatusCode::kInvalidArgument) AddBadRequest(status, why, &info, &rest);
  if (const auto resource = Payload(status, kResourcePayload); resource && !fault) {
    google::rpc::ResourceInfo detail;
    detail.ParseFromString(*resource);
    (*info.mutable_metadata())["resource"] = detail.resource_name();
    rest.add_details()->PackFrom(detail);
  }
  if (entry.code == absl::StatusCode::kFailedPrecondition) {
    google::rpc::PreconditionFailure failure;
    auto* violation = failure.add_violations();
    violation->set_type(why);
    violation->set_subject("product");
    violation->set_description(Clip(std::string(status.message()), kDescriptionMax));
    rest.add_details()->PackFrom(failure);
  }
  AddRetry(status, entry, &rest);
  out.add_details()->PackFrom(info);
  out.mutable_details()->MergeFrom(rest.details());
  return out;
}

grpc::Status ToGrpcStatus(const absl::Status& status, const std::string& request_id) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status rpc = ToRpcStatus(status, request_id);
  return {static_cast<grpc::StatusCode>(rpc.code()), rpc.message(), rpc.SerializeAsString()};
}

}  // namespace hfwa::server
