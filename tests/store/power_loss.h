#pragma once

// A file system that knows what would survive a power cut: bytes that were fsynced, under names
// whose folder was.

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/base/file_system.h"

namespace hfwa::store {

class PowerLossFileSystem final : public FileSystem {
 public:
  // What unsynced bytes look like afterwards.
  enum class Torn { kEmpty, kHalf, kZeros };

  // Watches everything below `root`, which exists. After `calls` changing calls the power is gone:
  // all later ones fail. A sync of a path for which `lies` is true does nothing and says it did.
  PowerLossFileSystem(std::string root, int calls,
                      std::function<bool(const std::string& path)> lies);

  // Puts files and folders back to what was durable. SQLite's own files, which it does not see,
  // stay as they are unless their folder goes.
  void Crash(Torn torn);
  bool power_gone() const;

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
  friend class PowerLossFile;
  struct Node {
    bool directory = false;
    std::string written;
    bool synced = false;  // the bytes as they are now
  };
  using Names = std::map<std::string, std::shared_ptr<Node>>;

  absl::Status Spend();
  absl::Status Write(Node& node, WritableFile& file, std::string_view bytes);
  absl::Status Sync(Node& node, const std::string& path);

  const std::string root_;
  const std::function<bool(const std::string& path)> lies_;
  mutable absl::Mutex mu_;
  int calls_left_ ABSL_GUARDED_BY(mu_);
  Names now_ ABSL_GUARDED_BY(mu_);
  Names durable_ ABSL_GUARDED_BY(mu_);
};

}  // namespace hfwa::store
