#pragma once

#include <string_view>

#include "absl/time/time.h"

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
  // Images and bytes that wait for the device, and images on it.
  virtual void OnQueue(int images, int64_t bytes, int inflight) = 0;
  // `reason` is an ErrorInfo reason such as "QUEUE_FULL".
  virtual void OnRefusal(std::string_view reason) = 0;
};

}  // namespace hfwa::engine
