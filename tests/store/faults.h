#pragma once

// File system and SQLite VFS whose n-th call fails.

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/base/file_system.h"

struct sqlite3_vfs;

namespace hfwa::store {

enum class Fault {
  kIoError,   // EIO from any call
  kDiskFull,  // ENOSPC from calls that take space
};

// Counts the calls that `fault` may hit and says which are to fail. Thread-safe.
class FaultPlan {
 public:
  // From now on the n-th such call (from 1) fails, and all after it if `sticky`.
  void Arm(Fault fault, int n, bool sticky);
  void Disarm();
  // True if this call is to fail. `takes_space`: a full disk may be its reason.
  bool Hits(bool takes_space);
  bool fired() const;  // since Arm
  Fault fault() const;

 private:
  mutable absl::Mutex mu_;
  Fault fault_ ABSL_GUARDED_BY(mu_) = Fault::kIoError;
  int n_ ABSL_GUARDED_BY(mu_) = 0;
  int calls_ ABSL_GUARDED_BY(mu_) = 0;
  bool sticky_ ABSL_GUARDED_BY(mu_) = false;
  bool fired_ ABSL_GUARDED_BY(mu_) = false;
};

// The real one, but for the plan's faults.
class FaultyFileSystem final : public FileSystem {
 public:
  explicit FaultyFileSystem(FaultPlan& plan) : plan_(plan) {}
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) override;
  absl::StatusOr<std::string> Read(const std::string& path, size_t max_bytes) override;
  absl::Status SyncFile(const std::string& path) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status MakeDirectory(const std::string& path) override;
  absl::Status SyncDirectory(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override;
  absl::StatusOr<bool> Exists(const std::string& path) override;
  absl::StatusOr<Info> Stat(const std::string& path) override { return Real().Stat(path); }
  absl::Status Touch(const std::string& path) override { return Real().Touch(path); }
  absl::StatusOr<int64_t> FreeBytes(const std::string& path) override;

 private:
  FaultPlan& plan_;
};

// Registered with SQLite under name() while it lives.
class FaultyVfs {
 public:
  explicit FaultyVfs(FaultPlan& plan);
  ~FaultyVfs();
  FaultyVfs(const FaultyVfs&) = delete;
  FaultyVfs& operator=(const FaultyVfs&) = delete;
  static std::string name() { return "hfwa-faulty"; }

 private:
  std::unique_ptr<sqlite3_vfs> vfs_;
};

}  // namespace hfwa::store
