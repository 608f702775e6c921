#include "core/store/open_database.h"

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/store/schema.h"
#include "core/store/tables.h"

namespace hfwa::store {
namespace {

std::string DatabasePath(const SqliteStoreOptions& options) {
  return options.directory + "/hfwa.db";
}

// The database as it is found is only read until its version is known to be ours.
absl::Status CheckBeforeWriting(const SqliteStoreOptions& options, ObjectFolder& objects) {
  bool empty = true;
  const auto check = [&](Database::Mode mode) -> absl::Status {
    HFWA_ASSIGN_OR_RETURN(const auto db, Database::Open(DatabasePath(options), mode, options.vfs));
    HFWA_RETURN_IF_ERROR(CheckVersion(*db, SchemaSteps()));
    HFWA_ASSIGN_OR_RETURN(const int64_t version, db->QueryInt("PRAGMA user_version"));
    empty = version == 0;
    return absl::OkStatus();
  };
  HFWA_ASSIGN_OR_RETURN(const bool exists, options.files->Exists(DatabasePath(options)));
  if (exists) {
    absl::Status checked = check(Database::Mode::kReadOnly);
    if (!checked.ok() && !absl::IsUnavailable(checked)) return checked;
    // A process killed while it made the database left a rollback journal, which takes a writer.
    if (!checked.ok()) HFWA_RETURN_IF_ERROR(check(Database::Mode::kReadWrite));
  }
  if (!empty) return absl::OkStatus();
  // An empty database would have the sweep remove every image.
  HFWA_ASSIGN_OR_RETURN(const bool any, objects.HasAny());
  return any ? absl::DataLossError("missing or empty while objects are there; nothing was changed")
             : absl::OkStatus();
}

}  // namespace

absl::StatusOr<Connections> OpenDatabase(const SqliteStoreOptions& options, ObjectFolder& objects) {
  const absl::Status fit = CheckBeforeWriting(options, objects);
  if (!fit.ok()) {
    return absl::Status(fit.code(), absl::StrCat(DatabasePath(options), ": ", fit.message()));
  }
  Connections made;
  HFWA_ASSIGN_OR_RETURN(
      made.writer, Database::Open(DatabasePath(options), Database::Mode::kReadWrite, options.vfs));
  // The log is cut after a checkpoint that leaves it larger than this.
  HFWA_RETURN_IF_ERROR(made.writer->Run("PRAGMA journal_size_limit = 67108864"));
  HFWA_ASSIGN_OR_RETURN(const std::string mode,
                        made.writer->QueryText("PRAGMA journal_mode = WAL"));
  if (mode != "wal") {
    return absl::UnavailableError(absl::StrCat(DatabasePath(options), ": no write-ahead log here"));
  }
  HFWA_RETURN_IF_ERROR(made.writer->Run("PRAGMA synchronous = FULL"));
  HFWA_RETURN_IF_ERROR(
      Migrate(*made.writer, SchemaSteps(), *options.files, DatabasePath(options) + ".backup"));
  HFWA_RETURN_IF_ERROR(options.files->SyncDirectory(options.directory));
  HFWA_RETURN_IF_ERROR(CheckTables(*made.writer, SchemaSteps()));
  HFWA_RETURN_IF_ERROR(VerifyAll(*made.writer));
  HFWA_ASSIGN_OR_RETURN(
      made.reader, Database::Open(DatabasePath(options), Database::Mode::kReadOnly, options.vfs));
  return made;
}

}  // namespace hfwa::store
