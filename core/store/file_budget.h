#pragma once

// Which files a cache has, how large they are, and which of them must go.

#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace hfwa::store {

// Keeps the bytes of known files within a budget, the least recently used first to go. Touches no
// file itself. Thread-safe.
class FileBudget {
 public:
  explicit FileBudget(int64_t bytes_max) : bytes_max_(bytes_max) {}

  // The file is there, of that size, and was just used. Returns the paths that must go, without
  // this one: they count no more.
  std::vector<std::string> Add(const std::string& path, int64_t bytes);
  // False if the file is not known.
  bool Use(const std::string& path);
  void Forget(const std::string& path);

  int64_t bytes() const;
  size_t files() const;

 private:
  struct File {
    int64_t bytes;
    std::list<std::string>::iterator use;
  };

  void Erase(const std::string& path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int64_t bytes_max_;
  mutable absl::Mutex mu_;
  std::list<std::string> uses_ ABSL_GUARDED_BY(mu_);  // the least recent first
  absl::flat_hash_map<std::string, File> files_ ABSL_GUARDED_BY(mu_);
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace hfwa::store
