#pragma once

#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace hfwa::client {

// How a client repeats what the server could not take. Only UNAVAILABLE, and RESOURCE_EXHAUSTED
// that carries RetryInfo, are repeated; everything the client sends is safe to repeat.
struct RetryPolicy {
  // Tries of one request beyond the first; 0 turns retries off.
  int max_retries = 3;
  // Wait before the first retry; it doubles with each, and the actual wait is drawn evenly between
  // half of it and all of it. A server's RetryInfo is the least that is waited.
  absl::Duration initial_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(5);
  // Retries may be this share of the client's requests, so that clients do not multiply an
  // overload; `budget_reserve` more are free at the start and can be saved up again.
  double budget_ratio = 0.1;
  double budget_reserve = 10;
};

// Decides on retries for all calls of one client. Thread-safe.
class Retrier {
 public:
  explicit Retrier(const RetryPolicy& policy) : policy_(policy), tokens_(policy.budget_reserve) {}

  // Counts a request; call it once for each, not for its retries.
  void OnRequest();

  // How long to wait before trying again after `error`, where `retries` tries beyond the first were
  // made; nothing if the error is final, the request had its share or the budget is spent.
  std::optional<absl::Duration> NextDelay(const absl::Status& error, int retries);

 private:
  const RetryPolicy policy_;
  absl::Mutex mu_;
  absl::BitGen random_ ABSL_GUARDED_BY(mu_);
  double tokens_ ABSL_GUARDED_BY(mu_);
};

}  // namespace hfwa::client
