#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "core/store/objects.h"
#include "core/store/sqlite.h"
#include "core/store/sqlite_store.h"

namespace hfwa::store {

// The reader must be closed before the writer, which moves the log into the database when it is the
// last.
struct Connections {
  std::unique_ptr<Database> writer;
  std::unique_ptr<Database> reader;
};

// Opens, or makes, the database of a data directory that is locked; migrates it and verifies all of
// it. Codes as of OpenSqliteStore. `objects` are only looked at.
absl::StatusOr<Connections> OpenDatabase(const SqliteStoreOptions& options, ObjectFolder& objects);

}  // namespace hfwa::store
