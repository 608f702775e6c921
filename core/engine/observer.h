#pragma once

#include <cstdint>
#include <string_view>

#include "absl/time/time.h"
#include "core/batching/lane.h"

namespace hfwa::engine {

enum class Stage { kDecode, kPreprocess, kQueue, kEncode, kMatch, kScore, kRender };
inline constexpr Stage kStages[] = {Stage::kDecode, Stage::kPreprocess, Stage::kQueue,
                                    Stage::kEncode, Stage::kMatch,      Stage::kScore,
                                    Stage::kRender};
std::string_view StageName(Stage stage);  // "decode", ...

// How the engine reports what happens; the server turns it into metrics. Called from the engine's
// threads, so implementations are thread-safe and quick.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void OnStage(Stage stage, absl::Duration took) = 0;
  // `reason` is why the batch was dispatched: "full", "window", "idle", "deadline".
  virtual void OnBatch(int size, std::string_view reason) = 0;
  // A lane's images and bytes that wait for the device, and its images on it.
  virtual void OnQueue(batching::Lane lane, int images, int64_t bytes, int inflight) = 0;
  // `reason` is an ErrorInfo reason such as "QUEUE_FULL".
  virtual void OnRefusal(std::string_view reason, batching::Lane lane) = 0;
  // What was left until the deadline when a call with one was answered; below zero when it was
  // late.
  virtual void OnDeadlineSlack(batching::Lane lane, absl::Duration slack) = 0;
};

}  // namespace hfwa::engine
