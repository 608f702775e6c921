#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/base/file_system.h"

namespace hfwa::store {

// True for 64 lower-case hexadecimal digits; only such a text becomes a path.
bool IsSha256(std::string_view text);

// DATA_LOSS that tells a caller which reference it is and what helps, and no path. `how` is
// "damaged" or "missing".
absl::Status ObjectLost(const std::string& sha256, std::string_view how);

// Image bytes by SHA-256 in FOLDER/ab/cdef…, by way of FOLDER/tmp. Which objects are wanted is not
// known here. Thread-safe.
class ObjectFolder {
 public:
  ObjectFolder(FileSystem& files, std::string folder);

  // Makes the folders, durably, and removes what interrupted writes left in tmp.
  absl::Status Open();
  // When it returns OK the object is durable: its bytes and every name on the way to them. An
  // intact object is made durable again, a damaged one is replaced.
  absl::Status Put(const std::string& sha256, std::string_view bytes);
  // NOT_FOUND, or DATA_LOSS if the bytes do not fit the name.
  absl::StatusOr<std::string> Read(const std::string& sha256);
  // Nothing to do if it is absent. Not durable: what comes back is swept at the next start.
  absl::Status Remove(const std::string& sha256);
  // Removes every object that is not in `keep`. Files of other names are left alone.
  absl::Status Sweep(const absl::flat_hash_set<std::string>& keep);
  absl::StatusOr<bool> HasAny();

  // True once an fsync has failed in a way that a new write cannot make good.
  bool sync_failed() const { return sync_failed_.load(); }

 private:
  std::string PathOf(const std::string& sha256) const;
  absl::Status Write(const std::string& path, std::string_view bytes);
  absl::Status MakeDurableFolder(const std::string& folder);
  absl::Status SyncNames(const std::string& folder);
  // Calls `visit(sha256)` for each object.
  template <typename Visit>
  absl::Status ForEach(const Visit& visit);

  FileSystem& files_;
  const std::string folder_;
  const std::string temporary_;
  std::atomic<bool> sync_failed_{false};
  std::atomic<uint64_t> next_temporary_{0};
  absl::Mutex mu_;
  // Folders whose own name is known to be on disk: another thread may have made one and not yet
  // synced it.
  absl::flat_hash_set<std::string> durable_folders_ ABSL_GUARDED_BY(mu_);
};

}  // namespace hfwa::store
