#pragma once

// The Store on one machine: SQLite and a folder of objects (design section 6).
//
// - hfwa.db: WAL, synchronous=FULL; one connection writes and checkpoints, another only reads;
// - hfwa.db.backup: the database before the last migration, if there was one;
// - objects/ab/cdef…: image bytes by SHA-256;
// - lock: held by flock while the store is open.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/base/file_system.h"
#include "core/store/store.h"

namespace hfwa::store {

struct SqliteStoreOptions {
  std::string directory;  // made if absent, mode 0700
  const Clock* clock = &Clock::Real();
  // Objects are refused with RESOURCE_EXHAUSTED when less than this would be left, so that the
  // database can still take deletions.
  int64_t min_free_bytes = int64_t{8} << 20;
  // Committed pages (4 KiB) that may gather in the write-ahead log before they are moved.
  int checkpoint_frames = 1000;
  // For tests, which make them fail: the files, and the name of the SQLite VFS (empty: the default
  // one).
  FileSystem* files = &FileSystem::Real();
  std::string vfs = {};
};

// Opens or creates the data directory and sweeps what a killed process left half done.
// ALREADY_EXISTS with the owner's pid when another process holds it; FAILED_PRECONDITION when the
// schema is newer than this program, or the folder is on NFS or SMB; DATA_LOSS naming the file when
// the database is damaged, or gone while objects are there; UNAVAILABLE for I/O errors. Leases must
// be gone before the store is.
absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const SqliteStoreOptions& options);

}  // namespace hfwa::store
