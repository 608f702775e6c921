#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace hfwa::store {

// Keeps every other process out of a data directory. The kernel drops the lock when the process
// ends, however it ends, so a file left behind blocks nobody.
class DirectoryLock {
 public:
  // ALREADY_EXISTS with the owner's pid if another one holds it.
  static absl::StatusOr<std::unique_ptr<DirectoryLock>> Acquire(const std::string& path);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  explicit DirectoryLock(int fd) : fd_(fd) {}
  const int fd_;
};

// FAILED_PRECONDITION on NFS and SMB, whose locks and fsync SQLite cannot rely on.
absl::Status CheckLocalFileSystem(const std::string& directory);

}  // namespace hfwa::store
