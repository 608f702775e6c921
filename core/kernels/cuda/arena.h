#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace hfwa::kernels::cuda {

// Places in a range of bytes: which are taken and which are free. What is taken stays where it is,
// and neighbours that are given back become one. Knows no memory. Not thread-safe.
class Arena {
 public:
  static constexpr int64_t kAlignment = 256;  // of every place, and what sizes are rounded up to

  explicit Arena(int64_t capacity);

  // Offset of `bytes` free bytes: the smallest gap that fits, so that large ones stay large.
  std::optional<int64_t> Take(int64_t bytes);
  // Gives back what Take(bytes) gave.
  void Give(int64_t offset, int64_t bytes);

  int64_t capacity() const { return capacity_; }
  int64_t taken() const { return taken_; }
  bool empty() const { return taken_ == 0; }
  // Of the largest gap.
  int64_t largest_free() const;

  static int64_t Rounded(int64_t bytes);

 private:
  void Add(int64_t offset, int64_t bytes);
  void Remove(std::map<int64_t, int64_t>::iterator gap);

  const int64_t capacity_;
  int64_t taken_ = 0;
  std::map<int64_t, int64_t> gaps_;          // offset to size
  std::multimap<int64_t, int64_t> by_size_;  // size to offset
};

}  // namespace hfwa::kernels::cuda
