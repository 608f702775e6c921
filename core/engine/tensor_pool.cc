#include "core/engine/tensor_pool.h"

#include <ATen/ATen.h>

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace hfwa::engine {

// What the tensors that are out hold on to.
struct TensorPool::Shelf {
  explicit Shelf(size_t max) : keep_max(max) {}

  void Put(at::Tensor buffer) {
    absl::MutexLock lock(&mu);
    if (free.size() < keep_max) free.push_back(std::move(buffer));
  }

  const size_t keep_max;
  absl::Mutex mu;
  std::vector<at::Tensor> free ABSL_GUARDED_BY(mu);
};

TensorPool::TensorPool(std::vector<int64_t> shape, bool pinned, size_t keep_max)
    : shape_(std::move(shape)), pinned_(pinned), shelf_(std::make_shared<Shelf>(keep_max)) {
  for (const int64_t side : shape_) bytes_ *= side;
  absl::MutexLock lock(&shelf_->mu);
  shelf_->free.reserve(keep_max);  // so that Put takes no memory
}

at::Tensor TensorPool::Take() {
  at::Tensor buffer;
  {
    absl::MutexLock lock(&shelf_->mu);
    if (!shelf_->free.empty()) {
      buffer = std::move(shelf_->free.back());
      shelf_->free.pop_back();
    }
  }
  const at::TensorOptions options = at::TensorOptions().dtype(at::kFloat);
  if (!buffer.defined()) buffer = at::empty(shape_, options.pinned_memory(pinned_));
  void* const data = buffer.data_ptr();
  return at::from_blob(
      data, shape_,
      [shelf = shelf_, buffer = std::move(buffer)](void*) mutable {
        shelf->Put(std::move(buffer));
      },
      options);
}

size_t TensorPool::kept() const {
  absl::MutexLock lock(&shelf_->mu);
  return shelf_->free.size();
}

}  // namespace hfwa::engine
