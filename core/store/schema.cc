#include "core/store/schema.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace hfwa::store {
namespace {

// Times are microseconds since 1970. `checksum` is over the row's other columns (tables.cc): SQLite
// finds damage to its structure, this one damage to values. A reference is live while removed_in is
// null; revision n of a product holds those with added_in <= n and (removed_in is null or
// removed_in > n), in order of sequence.
constexpr char kVersion1[] = R"sql(
CREATE TABLE products (
  id            TEXT PRIMARY KEY,
  uid           TEXT NOT NULL UNIQUE,
  display_name  TEXT NOT NULL,
  class_name    TEXT NOT NULL,
  labels        TEXT NOT NULL,
  threshold     REAL,
  revision      INTEGER NOT NULL,
  reference_count INTEGER NOT NULL,
  version       INTEGER NOT NULL,
  create_time   INTEGER NOT NULL,
  update_time   INTEGER NOT NULL,
  checksum      INTEGER NOT NULL
) STRICT;

CREATE TABLE product_references (
  sequence      INTEGER PRIMARY KEY,
  product_uid   TEXT NOT NULL REFERENCES products (uid) ON DELETE CASCADE,
  id            TEXT NOT NULL,
  sha256        TEXT NOT NULL,
  size_bytes    INTEGER NOT NULL,
  media_type    TEXT NOT NULL,
  width         INTEGER NOT NULL,
  height        INTEGER NOT NULL,
  source_name   TEXT NOT NULL,
  create_time   INTEGER NOT NULL,
  added_in      INTEGER NOT NULL,
  removed_in    INTEGER,
  checksum      INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX live_reference ON product_references (product_uid, id) WHERE removed_in IS NULL;
CREATE INDEX any_reference ON product_references (product_uid, id);
CREATE INDEX live_object ON product_references (sha256) WHERE removed_in IS NULL;

CREATE TABLE revisions (
  product_uid   TEXT NOT NULL REFERENCES products (uid) ON DELETE CASCADE,
  number        INTEGER NOT NULL,
  create_time   INTEGER NOT NULL,
  reason        TEXT NOT NULL,
  PRIMARY KEY (product_uid, number)
) STRICT;

CREATE TABLE requests (
  request_id    TEXT PRIMARY KEY,
  fingerprint   TEXT NOT NULL,
  outcome       TEXT NOT NULL,
  reply         BLOB NOT NULL,
  create_time   INTEGER NOT NULL,
  checksum      INTEGER NOT NULL
) STRICT;
CREATE INDEX request_time ON requests (create_time);
)sql";

// 1 keeps every row's checksum as it was (tables.cc).
constexpr char kVersion2[] = R"sql(
ALTER TABLE products ADD COLUMN coreset_ratio REAL NOT NULL DEFAULT 1;
)sql";

// Likewise 'hfwa'; method.h has the others.
constexpr char kVersion3[] = R"sql(
ALTER TABLE products ADD COLUMN method TEXT NOT NULL DEFAULT 'hfwa';
)sql";

constexpr const char* kSteps[] = {kVersion1, kVersion2, kVersion3};

absl::Status Backup(Database& database, FileSystem& files, const std::string& path) {
  absl::Status removed = files.Remove(path);
  if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
  HFWA_ASSIGN_OR_RETURN(Statement copy, database.Prepare("VACUUM INTO ?"));
  HFWA_RETURN_IF_ERROR(copy.Bind(path).Run());
  HFWA_RETURN_IF_ERROR(files.SyncFile(path));
  return files.SyncDirectory(ParentDirectory(path));
}

}  // namespace

absl::Span<const char* const> SchemaSteps() { return kSteps; }

absl::Status CheckVersion(Database& database, absl::Span<const char* const> steps) {
  HFWA_ASSIGN_OR_RETURN(const int64_t version, database.QueryInt("PRAGMA user_version"));
  if (version > static_cast<int64_t>(steps.size())) {
    return absl::FailedPreconditionError(absl::StrCat("the data's schema has version ", version,
                                                      "; this program knows versions up to ",
                                                      steps.size(), ": use a newer program"));
  }
  HFWA_ASSIGN_OR_RETURN(const int64_t tables,
                        database.QueryInt("SELECT COUNT(*) FROM sqlite_schema"));
  if (version < 0 || (version == 0 && tables > 0) || (version > 0 && tables == 0)) {
    return absl::DataLossError(
        "the database's version does not fit its tables: damaged, or not made by hfwa");
  }
  return absl::OkStatus();
}

absl::Status Migrate(Database& database, absl::Span<const char* const> steps, FileSystem& files,
                     const std::string& backup_path) {
  HFWA_RETURN_IF_ERROR(CheckVersion(database, steps));
  HFWA_ASSIGN_OR_RETURN(const int64_t version, database.QueryInt("PRAGMA user_version"));
  if (version == static_cast<int64_t>(steps.size())) return absl::OkStatus();
  if (version > 0) HFWA_RETURN_IF_ERROR(Backup(database, files, backup_path));
  HFWA_ASSIGN_OR_RETURN(Transaction transaction,
                        Transaction::Begin(database, Transaction::Kind::kWrite));
  for (size_t step = static_cast<size_t>(version); step < steps.size(); ++step) {
    HFWA_RETURN_IF_ERROR(database.Run(steps[step]));
  }
  // A pragma takes no bound values; this one is a number of ours.
  HFWA_RETURN_IF_ERROR(database.Run(absl::StrCat("PRAGMA user_version = ", steps.size()).c_str()));
  return transaction.Commit();
}

absl::Status CheckTables(Database& database, absl::Span<const char* const> steps) {
  constexpr char kDefinitions[] =
      "SELECT group_concat(type || name || tbl_name || ifnull(sql, ''), char(10)) FROM "
      "(SELECT * FROM sqlite_schema ORDER BY name)";
  HFWA_ASSIGN_OR_RETURN(const auto model,
                        Database::Open(":memory:", Database::Mode::kReadWrite, ""));
  for (const char* const step : steps) HFWA_RETURN_IF_ERROR(model->Run(step));
  HFWA_ASSIGN_OR_RETURN(const std::string expected, model->QueryText(kDefinitions));
  HFWA_ASSIGN_OR_RETURN(const std::string found, database.QueryText(kDefinitions));
  return found == expected ? absl::OkStatus()
                           : absl::DataLossError("hfwa.db: damaged table definitions");
}

}  // namespace hfwa::store
