#include "core/kernels/cuda/arena.h"

#include <algorithm>
#include <iterator>

namespace hfwa::kernels::cuda {

Arena::Arena(int64_t capacity) : capacity_(capacity / kAlignment * kAlignment) {
  if (capacity_ > 0) Add(0, capacity_);
}

int64_t Arena::Rounded(int64_t bytes) {
  return std::max<int64_t>(1, (bytes + kAlignment - 1) / kAlignment) * kAlignment;
}

std::optional<int64_t> Arena::Take(int64_t bytes) {
  const int64_t size = Rounded(bytes);
  const auto fit = by_size_.lower_bound(size);
  if (fit == by_size_.end()) return std::nullopt;
  const int64_t offset = fit->second, left = fit->first - size;
  Remove(gaps_.find(offset));
  if (left > 0) Add(offset + size, left);
  taken_ += size;
  return offset;
}

void Arena::Give(int64_t offset, int64_t bytes) {
  int64_t size = Rounded(bytes);
  taken_ -= size;
  const auto after = gaps_.lower_bound(offset);
  if (after != gaps_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == offset) {
      offset = before->first;
      size += before->second;
      Remove(before);
    }
  }
  if (after != gaps_.end() && after->first == offset + size) {
    size += after->second;
    Remove(after);
  }
  Add(offset, size);
}

int64_t Arena::largest_free() const { return by_size_.empty() ? 0 : by_size_.rbegin()->first; }

void Arena::Add(int64_t offset, int64_t bytes) {
  gaps_.emplace(offset, bytes);
  by_size_.emplace(bytes, offset);
}

void Arena::Remove(std::map<int64_t, int64_t>::iterator gap) {
  auto [it, end] = by_size_.equal_range(gap->second);
  while (it != end && it->second != gap->first) ++it;
  by_size_.erase(it);
  gaps_.erase(gap);
}

}  // namespace hfwa::kernels::cuda
