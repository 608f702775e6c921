#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace hfwa::bench {

// The server's stages, in their order; the last is the whole.
inline constexpr std::array<const char*, 8> kStages{"decode", "preprocess", "queue",  "encode",
                                                    "match",  "score",      "render", "total"};
using StageTimes = std::array<float, kStages.size()>;  // Milliseconds.

// How one call ended.
struct Outcome {
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string reason{};  // google.rpc.ErrorInfo's; empty if there is none.
  // Of OK replies.
  StageTimes stages_ms{};
  int batch_size = 0;
};

// One answered request. Times in seconds since the start of the run.
struct Sample {
  double intended = 0;  // When the schedule wanted it sent.
  double sent = 0;
  double done = 0;
  absl::StatusCode code = absl::StatusCode::kOk;
  uint32_t reason = 0;  // Index into Recording::reasons.
  int batch_size = 0;
  StageTimes stages_ms{};

  bool ok() const { return code == absl::StatusCode::kOk; }
  double latency() const { return done - intended; }
  double service() const { return done - sent; }
};

// All that a run saw. Everything is kept, so that no figure is an estimate: 72 bytes a request.
struct Recording {
  // Those of the warm-up too, in the order of their answers. A deque never copies what it holds,
  // which would stop the generator for a moment.
  std::deque<Sample> samples;
  std::vector<std::string> reasons;
  // Intended times, in seconds, of requests that found as many outstanding as may be.
  std::vector<double> not_sent;
  // The same of requests that were outstanding when the run was interrupted.
  std::vector<double> given_up;
  size_t most_outstanding = 0;
  bool interrupted = false;
  // Between these, in seconds, the run is measured: after the warm-up.
  double window_begin = 0;
  double window_end = 0;
  double cpu_seconds = 0;  // Of this process in the window.

  uint32_t ReasonIndex(const std::string& reason) {
    for (size_t i = 0; i < reasons.size(); ++i) {
      if (reasons[i] == reason) return static_cast<uint32_t>(i);
    }
    reasons.push_back(reason);
    return static_cast<uint32_t>(reasons.size() - 1);
  }
  bool InWindow(double time) const { return time >= window_begin && time < window_end; }
};

}  // namespace hfwa::bench
