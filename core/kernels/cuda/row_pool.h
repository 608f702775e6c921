#pragma once

#include <cstdint>
#include <list>
#include <memory>

#include <ATen/core/Tensor.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/kernels/cuda/arena.h"
#include "core/kernels/kernels.h"

namespace hfwa::kernels::cuda {

// The one pool that all banks' rows live in: slabs of device memory, each divided by an Arena, so
// that banks that come and go do not break up the memory that batches need. Thread-safe. What is
// given back is reused in the order of the default stream, on which all of the engine's work on
// banks is queued.
class RowPool : public std::enable_shared_from_this<RowPool> {
 public:
  static constexpr int64_t kSlabBytes = 256LL << 20;

  // `slab_bytes` is for tests.
  explicit RowPool(at::Device device, int64_t slab_bytes = kSlabBytes)
      : device_(device), slab_bytes_(slab_bytes) {}

  // A [count, width] fp16 tensor in the pool; its place is given back when `place` goes.
  struct Rows {
    at::Tensor values;
    std::shared_ptr<void> place;
  };
  // c10::OutOfMemoryError when the device has no room for another slab.
  Rows Take(int64_t count, int64_t width);

  int64_t slabs() const;
  int64_t taken() const;  // bytes

 private:
  struct Slab {
    Arena arena;
    at::Tensor memory;
  };
  using Place = std::list<Slab>::iterator;

  Place PlaceFor(int64_t bytes, int64_t* offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Give(Place slab, int64_t offset, int64_t bytes);

  const at::Device device_;
  const int64_t slab_bytes_;
  mutable absl::Mutex mu_;
  std::list<Slab> slabs_ ABSL_GUARDED_BY(mu_);
};

}  // namespace hfwa::kernels::cuda
