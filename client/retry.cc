#include "client/retry.h"

#include <algorithm>
#include <cmath>

#include "client/error.h"

namespace hfwa::client {

void Retrier::OnRequest() {
  absl::MutexLock lock(&mu_);
  tokens_ = std::min(tokens_ + policy_.budget_ratio, policy_.budget_reserve);
}

std::optional<absl::Duration> Retrier::NextDelay(const absl::Status& error, int retries) {
  if (retries >= policy_.max_retries) return std::nullopt;
  const std::optional<absl::Duration> asked = DetailsOf(error).retry_delay;
  const bool retryable =
      absl::IsUnavailable(error) || (absl::IsResourceExhausted(error) && asked.has_value());
  if (!retryable) return std::nullopt;

  absl::MutexLock lock(&mu_);
  if (tokens_ < 1) return std::nullopt;
  tokens_ -= 1;
  const absl::Duration ceiling =
      std::min(policy_.initial_backoff * std::exp2(retries), policy_.max_backoff);
  const absl::Duration backoff = ceiling * absl::Uniform(random_, 0.5, 1.0);
  // Jitter on top of the server's wish too: all that were refused at once must not return at once.
  return asked.has_value() ? *asked + backoff : backoff;
}

}  // namespace hfwa::client
