#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

namespace hfwa::engine {

// Buffers for pictures that wait for the device, used again and again: fresh pages cost more than
// what is written to them, and memory that the GPU may read is slow to get. Thread-safe.
class TensorPool {
 public:
  // fp32 tensors of `shape` on the CPU; `pinned` where a GPU copies from them. Keeps at most
  // `keep_max` that nobody uses.
  TensorPool(std::vector<int64_t> shape, bool pinned, size_t keep_max);

  // Not initialised. Comes back to the pool when its last holder lets go, also after the pool's
  // end.
  at::Tensor Take();
  // Of one tensor.
  int64_t bytes() const { return bytes_; }
  // Buffers that nobody uses.
  size_t kept() const;

 private:
  struct Shelf;

  const std::vector<int64_t> shape_;
  const bool pinned_;
  int64_t bytes_ = sizeof(float);
  const std::shared_ptr<Shelf> shelf_;
};

}  // namespace hfwa::engine
