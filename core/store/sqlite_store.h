#pragma once

// The Store on one machine: SQLite and a folder of objects (design section 6).
//
//   hfwa.db            WAL, synchronous=FULL; one connection writes and checkpoints, others only
//   read objects/ab/cdef…   image bytes by SHA-256 lock               held by flock while the store
//   is open

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/store/store.h"

namespace hfwa::store {

struct SqliteStoreOptions {
  std::string directory;  // made if absent, mode 0700
  const Clock* clock = &Clock::Real();
};

// Opens or creates the data directory and sweeps what a killed process left half done.
// ALREADY_EXISTS with the owner's pid when another process holds it; FAILED_PRECONDITION when the
// schema is newer than this program; DATA_LOSS when the database is damaged; UNAVAILABLE for I/O
// errors.
absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const SqliteStoreOptions& options);

}  // namespace hfwa::store
