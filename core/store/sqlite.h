#pragma once

// SQLite's C API as RAII and absl::Status. SQL is constant text; values are bound.
//
// Codes: RESOURCE_EXHAUSTED (disk full), DATA_LOSS (damaged or not a database), ALREADY_EXISTS
// (constraint), INTERNAL (an error in the program), else UNAVAILABLE.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace hfwa::store {

class Database;

// A prepared statement. Bind the parameters from left to right, then Step or Run. Lives no longer
// than its Database. One thread.
class Statement {
 public:
  Statement(Statement&&) = default;
  Statement& operator=(Statement&&) = default;

  // A failed binding is reported by Step. Text and blobs are copied.
  Statement& Bind(int64_t value);
  Statement& Bind(double value);
  Statement& Bind(std::string_view text);
  Statement& BindBlob(std::string_view bytes);
  Statement& BindNull();

  // True: there is a row to read. False: done.
  absl::StatusOr<bool> Step();
  // For statements without result.
  absl::Status Run();

  // Columns of the current row, from 0.
  bool IsNull(int column) const;
  int64_t Int(int column) const;
  double Real(int column) const;
  std::string Text(int column) const;  // or a blob

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Statement(Database* database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}
  void Note(int code);

  Database* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int parameter_ = 0;
  int bind_code_ = 0;
};

// One connection. One thread at a time.
class Database {
 public:
  enum class Mode { kReadWrite, kReadOnly };
  // `vfs` is the name of a registered SQLite VFS; empty for the default. Neither mode checkpoints
  // by itself, except that the last kReadWrite connection to close does. kReadWrite creates the
  // file if absent.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path, Mode mode,
                                                        const std::string& vfs);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Statements without parameters or result; several may stand in one text.
  absl::Status Run(const char* sql);
  absl::StatusOr<Statement> Prepare(const char* sql);
  // The first column of the only row.
  absl::StatusOr<int64_t> QueryInt(const char* sql);
  absl::StatusOr<std::string> QueryText(const char* sql);

  // Frames in the write-ahead log after this connection's last commit.
  int wal_frames() const { return wal_frames_; }
  // Moves what it can of the write-ahead log into the database, waiting for no reader.
  absl::Status Checkpoint();

  // True once an fsync has failed on this connection: what the kernel holds of the file is unknown
  // from then on.
  bool sync_failed() const { return sync_failed_; }

 private:
  friend class Statement;
  Database(std::string path, sqlite3* handle) : path_(std::move(path)), handle_(handle) {}
  absl::Status Error(int code);

  const std::string path_;
  sqlite3* const handle_;
  int wal_frames_ = 0;
  bool sync_failed_ = false;
};

// Rolls back unless committed.
class Transaction {
 public:
  enum class Kind { kRead, kWrite };
  static absl::StatusOr<Transaction> Begin(Database& database, Kind kind);
  Transaction(Transaction&& other) noexcept : database_(other.database_) {
    other.database_ = nullptr;
  }
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();

  absl::Status Commit();

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* database_;
};

}  // namespace hfwa::store
