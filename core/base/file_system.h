#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace hfwa {

// A new file being written. Destroyed without Close, it is closed and what was written stays. One
// thread.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual absl::Status Write(std::string_view bytes) = 0;
  // fsync: the bytes are on the medium; the file's name is not, see FileSystem::SyncDirectory.
  virtual absl::Status Sync() = 0;
  virtual absl::Status Close() = 0;
};

// The few file operations that durable writing is made of, behind an interface so that tests can
// fail any of them and drop what was not synced. Codes: NOT_FOUND, ALREADY_EXISTS,
// RESOURCE_EXHAUSTED (disk full or over quota), else UNAVAILABLE; messages name the path.
// Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // A new file of mode 0600. ALREADY_EXISTS if the name is taken.
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) = 0;
  // The whole file. OUT_OF_RANGE, before anything is allocated, if it is larger than `max_bytes`.
  virtual absl::StatusOr<std::string> Read(const std::string& path, size_t max_bytes) = 0;
  // fsync of a file that is there already.
  virtual absl::Status SyncFile(const std::string& path) = 0;
  // Replaces `to` at once. Durable after SyncDirectory of the folder of `to`.
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;
  // Mode 0700. ALREADY_EXISTS if there is one of that name.
  virtual absl::Status MakeDirectory(const std::string& path) = 0;
  // Makes the names in a folder durable.
  virtual absl::Status SyncDirectory(const std::string& path) = 0;
  // Names, sorted, without "." and "..".
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& path) = 0;
  virtual absl::StatusOr<bool> Exists(const std::string& path) = 0;
  struct Info {
    int64_t bytes = 0;
    absl::Time modified;  // by Write or Touch
  };
  virtual absl::StatusOr<Info> Stat(const std::string& path) = 0;
  // Makes it modified now; its bytes stay.
  virtual absl::Status Touch(const std::string& path) = 0;
  // What an unprivileged process may still write there.
  virtual absl::StatusOr<int64_t> FreeBytes(const std::string& path) = 0;

  // The machine's. Lives as long as the program.
  static FileSystem& Real();
};

// MakeDirectory for `path` and every missing folder above it, each made durable.
absl::Status MakeDirectories(FileSystem& files, const std::string& path);

// "." for a bare name.
std::string ParentDirectory(const std::string& path);

// The status that FileSystem gives for `error_number`, saying "WHAT PATH: reason".
absl::Status FileError(int error_number, std::string_view what, const std::string& path);

}  // namespace hfwa
