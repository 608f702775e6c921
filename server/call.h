#pragma once

// What every call has in common: identity, deadline, its line in the log, its count in the metrics.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <grpcpp/server_context.h>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "core/base/clock.h"
#include "core/base/thread_pool.h"
#include "core/engine/engine.h"
#include "server/config.h"
#include "server/log.h"
#include "server/metrics.h"

namespace hfwa::server {

// Streams that wait for their caller, so that they can be ended from here.
class Drainable {
 public:
  virtual ~Drainable() = default;
  // No further request is taken; the stream ends once what it has in flight is answered. Harmless
  // after its end.
  virtual void BeginDrain() = 0;
  // Ends if its caller has let it wait since before `time`: sent nothing, or taken no reply.
  // Harmless after its end.
  virtual void EndIfIdle(absl::Duration time) = 0;
};

// Who is being served, and whether anyone still may be. Thread-safe.
class Admission {
 public:
  // From now on every new call is refused, and open streams end.
  void Refuse();
  bool refusing() const { return refusing_.load(std::memory_order_relaxed); }

  void Enter();
  void Leave();
  // Until no call is left; false if some were at `timeout`.
  bool WaitIdle(absl::Duration timeout);

  // Ends the streams whose callers have let them wait since before `time`, on the steady clock.
  void EndIdle(absl::Duration time);

  void Register(const std::shared_ptr<Drainable>& stream);
  void Unregister(const Drainable* stream);

  // One of `max` places for registrations.
  bool TryEnterRegistration(int max);
  void LeaveRegistration();

 private:
  std::atomic<bool> refusing_{false};
  std::vector<std::shared_ptr<Drainable>> Streams();

  absl::Mutex mu_;
  int calls_ ABSL_GUARDED_BY(mu_) = 0;
  int registrations_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<const Drainable*, std::weak_ptr<Drainable>> streams_ ABSL_GUARDED_BY(mu_);
};

// What the services share; all outlive them.
struct Shared {
  engine::Engine* engine = nullptr;
  Metrics* metrics = nullptr;
  Logger* log = nullptr;
  const Clock* clock = nullptr;
  Admission* admission = nullptr;
  ThreadPool* store_pool = nullptr;         // short calls that block on the disk
  ThreadPool* registration_pool = nullptr;  // decoding, writing, waiting for the device
  int64_t max_image_bytes = 0;
  int registrations_max = 16;
  int stream_inflight_max = 32;  // images of one DetectStream
};

// Identity of a call, from its metadata.
struct CallIdentity {
  std::string request_id;  // x-request-id if it is sound, else made
  std::string trace_id;    // of traceparent; may be empty

  static CallIdentity From(const grpc::ServerContextBase& context);
};

// 1 to 128 of [A-Za-z0-9._:-].
bool IsRequestIdText(std::string_view text);
// The trace id of a W3C traceparent; empty if it is not well-formed.
std::string TraceIdOf(std::string_view traceparent);
std::string RandomHex(int bytes);
// A random UUID, version 4.
std::string RandomUuid();

// One request, from arrival to End. One thread at a time.
class Call {
 public:
  // `method` is a constant.
  Call(const Shared& shared, const char* method, CallIdentity identity);
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // A field of the request's log line; `name` is a constant.
  void Note(const char* name, LogValue value) { notes_.emplace_back(name, std::move(value)); }
  const std::string& request_id() const { return identity_.request_id; }
  const char* method() const { return method_; }
  // Of the device; none unless it is said.
  void set_lane(batching::Lane lane) { lane_ = lane; }
  std::optional<batching::Lane> lane() const { return lane_; }

  // Counts and logs; once.
  void End(const absl::Status& status);

 private:
  const Shared& shared_;
  const char* const method_;
  const CallIdentity identity_;
  const absl::Duration start_;
  std::optional<batching::Lane> lane_;
  LogFields notes_;
  bool ended_ = false;
};

// The call's deadline on the steady clock.
absl::Duration SteadyDeadline(const grpc::ServerContextBase& context, const Clock& clock);

// The refusal of a call that comes too late; OK while calls are taken.
absl::Status Admit(const Shared& shared, const Call& call);

}  // namespace hfwa::server
