#pragma once

#include <functional>

#include "absl/status/status.h"

namespace hfwa::engine {

// Runs batches in parts that fit into the device's memory. Where a part does not, its size is
// halved and it is run again; later batches keep to the size that fitted, and after a while try
// twice as much. One thread at a time.
class PartRunner {
 public:
  // Runs images first to first + count - 1; RESOURCE_EXHAUSTED where memory does not suffice.
  using RunPart = std::function<absl::Status(int first, int count)>;

  // Batches after which a size that did not fit is tried again.
  static constexpr int kPatience = 256;

  // Calls `run` for parts that cover images 0 to size - 1 in order, and `failed` for each image of
  // a part that ended with an error; of one image where that is RESOURCE_EXHAUSTED.
  void Run(int size, const RunPart& run,
           const std::function<void(int image, const absl::Status& status)>& failed);

  // The largest part that is run now; 0: no limit is known.
  int limit() const { return limit_; }

 private:
  int limit_ = 0;
  int since_ = 0;  // batches that the limit has held
};

}  // namespace hfwa::engine
