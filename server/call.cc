#include "server/call.h"

#include <openssl/rand.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/strings.h"
#include "server/errors.h"

namespace hfwa::server {
namespace {

std::string_view Metadata(const grpc::ServerContextBase& context, const char* key) {
  const auto& all = context.client_metadata();
  const auto it = all.find(key);
  return it == all.end() ? std::string_view()
                         : std::string_view(it->second.data(), it->second.size());
}

bool IsHexNotZero(std::string_view text) {
  bool zero = true;
  for (const char c : text) {
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
    zero = zero && c == '0';
  }
  return !zero;
}

}  // namespace

std::vector<std::shared_ptr<Drainable>> Admission::Streams() {
  absl::MutexLock lock(&mu_);
  std::vector<std::shared_ptr<Drainable>> open;
  for (const auto& [key, stream] : streams_) {
    if (auto held = stream.lock()) open.push_back(std::move(held));
  }
  return open;
}

// Both without the lock: a stream that ends at once unregisters itself.
void Admission::Refuse() {
  refusing_ = true;
  for (const auto& stream : Streams()) stream->BeginDrain();
}

void Admission::EndIdle(absl::Duration time) {
  for (const auto& stream : Streams()) stream->EndIfIdle(time);
}

void Admission::Enter() {
  absl::MutexLock lock(&mu_);
  ++calls_;
}

void Admission::Leave() {
  absl::MutexLock lock(&mu_);
  --calls_;
}

bool Admission::WaitIdle(absl::Duration timeout) {
  absl::MutexLock lock(&mu_);
  const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return calls_ == 0; };
  return mu_.AwaitWithTimeout(absl::Condition(&idle), timeout);
}

void Admission::Register(const std::shared_ptr<Drainable>& stream) {
  absl::MutexLock lock(&mu_);
  streams_[stream.get()] = stream;
}

void Admission::Unregister(const Drainable* stream) {
  absl::MutexLock lock(&mu_);
  streams_.erase(stream);
}

bool Admission::TryEnterRegistration(int max) {
  absl::MutexLock lock(&mu_);
  if (registrations_ >= max) return false;
  ++registrations_;
  return true;
}

void Admission::LeaveRegistration() {
  absl::MutexLock lock(&mu_);
  --registrations_;
}

bool IsRequestIdText(std::string_view text) {
  if (text.empty() || text.size() > 128) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == ':' ||
           c == '-';
  });
}

std::string TraceIdOf(std::string_view traceparent) {
  // version "-" trace-id "-" parent-id "-" flags; later versions may append.
  if (traceparent.size() < 55 || traceparent[2] != '-' || traceparent[35] != '-' ||
      traceparent[52] != '-')
    return "";
  if (traceparent.substr(0, 2) == "ff" ||
      (traceparent.substr(0, 2) == "00" && traceparent.size() != 55))
    return "";
  const std::string_view trace_id = traceparent.substr(3, 32);
  if (!IsHexNotZero(trace_id) || !IsHexNotZero(traceparent.substr(36, 16))) return "";
  return std::string(trace_id);
}

std::string RandomHex(int bytes) {
  std::string raw(static_cast<size_t>(bytes), '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(raw.data()), bytes) != 1) return "0";
  return ToHex(raw);
}

std::string RandomUuid() {
  std::string hex = RandomHex(16);
  if (hex.size() != 32) return hex;
  hex[12] = '4';
  hex[16] = "89ab"[hex[16] % 4];
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                      hex.substr(16, 4), "-", hex.substr(20));
}

CallIdentity CallIdentity::From(const grpc::ServerContextBase& context) {
  CallIdentity identity;
  const std::string_view given = Metadata(context, "x-request-id");
  identity.request_id = IsRequestIdText(given) ? std::string(given) : RandomUuid();
  identity.trace_id = TraceIdOf(Metadata(context, "traceparent"));
  return identity;
}

Call::Call(const Shared& shared, const char* method, CallIdentity identity)
    : shared_(shared),
      method_(method),
      identity_(std::move(identity)),
      start_(shared.clock->SteadyNow()) {
  shared_.admission->Enter();
}

Call::~Call() {
  if (!ended_) End(absl::CancelledError("ended without an answer"));
  shared_.admission->Leave();
}

void Call::End(const absl::Status& status) {
  if (std::exchange(ended_, true)) return;
  const absl::Duration took = shared_.clock->SteadyNow() - start_;
  const std::string why = status.ok() ? "" : ReasonOf(status);
  const absl::StatusCode code = status.ok() ? absl::StatusCode::kOk : FindReason(why)->code;
  shared_.metrics->OnRequest(method_, std::string(CodeName(code)), lane_, took);

  LogFields fields = {{"method", std::string(method_)},
                      {"code", std::string(CodeName(code))},
                      {"ms", absl::ToDoubleMilliseconds(took)},
                      {"request_id", identity_.request_id}};
  if (!identity_.trace_id.empty()) fields.emplace_back("trace_id", identity_.trace_id);
  if (!status.ok()) fields.emplace_back("reason", why);
  std::move(notes_.begin(), notes_.end(), std::back_inserter(fields));
  if (!status.ok() && code != absl::StatusCode::kInternal) {
    fields.emplace_back("error", std::string(status.message()));
  }
  shared_.log->Info("request", fields);
  if (code == absl::StatusCode::kInternal) {
    // Here, and nowhere in the reply, stands what went wrong.
    shared_.log->Error("internal error", {{"request_id", identity_.request_id},
                                          {"method", std::string(method_)},
                                          {"error", status.ToString()}});
  }
}

absl::Duration SteadyDeadline(const grpc::ServerContextBase& context, const Clock& clock) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteDuration();
  const auto left = deadline - std::chrono::system_clock::now();
  // Beyond a day a deadline means none.
  if (left > std::chrono::hours(24)) return absl::InfiniteDuration();
  return clock.SteadyNow() +
         absl::FromChrono(std::chrono::duration_cast<std::chrono::nanoseconds>(left));
}

absl::Status Admit(const Shared& shared, const Call& call) {
  if (!shared.admission->refusing()) return absl::OkStatus();
  shared.metrics->OnRefusal(reason::kDraining, call.lane());
  return ReasonError(reason::kDraining, "the server is about to end");
}

}  // namespace hfwa::server
