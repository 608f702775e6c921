#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/base/file_system.h"
#include "core/store/sqlite.h"

namespace hfwa::store {

// The tables' history: step i takes a database of version i (`PRAGMA user_version`) to version i
// + 1. A released step is never changed.
absl::Span<const char* const> SchemaSteps();

// FAILED_PRECONDITION if the database is newer than `steps`, DATA_LOSS if it is not one of ours.
// Reads only.
absl::Status CheckVersion(Database& database, absl::Span<const char* const> steps);

// Brings the database to the last version, in one transaction. One that held data is first copied
// to `backup_path`, durably; a copy that an interrupted migration left is replaced.
absl::Status Migrate(Database& database, absl::Span<const char* const> steps, FileSystem& files,
                     const std::string& backup_path);

// DATA_LOSS if the tables are not to the letter those that `steps` make: SQLite checks their rows,
// not whether damage has turned one definition into another.
absl::Status CheckTables(Database& database, absl::Span<const char* const> steps);

}  // namespace hfwa::store
