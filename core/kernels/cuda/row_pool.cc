#include "core/kernels/cuda/row_pool.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>

namespace hfwa::kernels::cuda {

RowPool::Place RowPool::PlaceFor(int64_t bytes, int64_t* offset) {
  for (Place slab = slabs_.begin(); slab != slabs_.end(); ++slab) {
    if (const auto found = slab->arena.Take(bytes)) {
      *offset = *found;
      return slab;
    }
  }
  const int64_t size = std::max(slab_bytes_, Arena::Rounded(bytes));
  slabs_.push_back({Arena(size), at::empty({size}, at::device(device_).dtype(at::kByte))});
  const Place slab = std::prev(slabs_.end());
  *offset = *slab->arena.Take(bytes);
  return slab;
}

RowPool::Rows RowPool::Take(int64_t count, int64_t width) {
  const int64_t bytes = count * width * static_cast<int64_t>(sizeof(uint16_t));
  absl::MutexLock lock(&mu_);
  int64_t offset = 0;
  const Place slab = PlaceFor(bytes, &offset);
  // The pool lives as long as what was taken of it.
  std::shared_ptr<void> place(nullptr, [pool = shared_from_this(), slab, offset, bytes](void*) {
    pool->Give(slab, offset, bytes);
  });
  return {slab->memory.narrow(0, offset, bytes).view(at::kHalf).view({count, width}),
          std::move(place)};
}

void RowPool::Give(Place slab, int64_t offset, int64_t bytes) {
  absl::MutexLock lock(&mu_);
  slab->arena.Give(offset, bytes);
  // One is kept, so that a product that comes back does not ask the device again.
  if (slab->arena.empty() && slabs_.size() > 1) slabs_.erase(slab);
}

int64_t RowPool::slabs() const {
  absl::MutexLock lock(&mu_);
  return static_cast<int64_t>(slabs_.size());
}

int64_t RowPool::taken() const {
  absl::MutexLock lock(&mu_);
  int64_t sum = 0;
  for (const Slab& slab : slabs_) sum += slab.arena.taken();
  return sum;
}

}  // namespace hfwa::kernels::cuda
