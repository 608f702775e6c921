#include "core/engine/part_runner.h"

#include <algorithm>

namespace hfwa::engine {

void PartRunner::Run(int size, const RunPart& run,
                     const std::function<void(int, const absl::Status&)>& failed) {
  if (limit_ > 0 && ++since_ > kPatience) {
    since_ = 0;
    limit_ *= 2;
  }
  for (int first = 0; first < size;) {
    const int count = limit_ > 0 ? std::min(limit_, size - first) : size - first;
    const absl::Status status = run(first, count);
    if (absl::IsResourceExhausted(status) && count > 1) {
      limit_ = count / 2;
      since_ = 0;
      continue;
    }
    for (int i = first; !status.ok() && i < first + count; ++i) failed(i, status);
    first += count;
  }
}

}  // namespace hfwa::engine
