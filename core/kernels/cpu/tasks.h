#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>

namespace hfwa::kernels {

// Runs work(task, scratch) for tasks 0 to count - 1, each once; a thread takes the next when it has
// done one, so that one that other programs hold up holds up the rest by a task at most. `scratch`
// is memory of the thread's own.
template <typename Work>
void ForEachTask(int64_t count, size_t scratch_bytes, const Work& work) {
  std::atomic<int64_t> next = 0;
  at::parallel_for(0, std::min<int64_t>(count, at::get_num_threads()), 1, [&](int64_t, int64_t) {
    const at::Tensor scratch = at::empty({static_cast<int64_t>(scratch_bytes)}, at::kByte);
    for (int64_t task = next++; task < count; task = next++) work(task, scratch.mutable_data_ptr());
  });
}

}  // namespace hfwa::kernels
