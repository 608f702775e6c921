#pragma once

// Rows in and out of the tables of schema.cc: all SQL of the store, none of its rules. Every read
// checks the row's checksum: DATA_LOSS if it does not fit. Functions that write are called within a
// Transaction.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/store/sqlite.h"
#include "core/store/store.h"

namespace hfwa::store {

struct ProductRow {
  Product product;      // etag follows from uid and version
  int64_t version = 1;  // counts the changes
};

struct ReferenceRow {
  Reference reference;
  int64_t sequence = 0;  // order of registration; given by the table
  std::string product_uid;
  int64_t added_in = 0;  // revision
  std::optional<int64_t> removed_in;
};

struct RequestRow {
  std::string request_id;
  std::string fingerprint;
  std::string outcome;  // see outcome.h
  std::string reply;    // the caller's bytes
  absl::Time create_time;
};

std::string Etag(const std::string& uid, int64_t version);

absl::StatusOr<std::optional<ProductRow>> FindProduct(Database& db, const std::string& id);
absl::StatusOr<std::vector<Product>> ProductsAfter(Database& db, const std::string& id, int limit);
absl::Status InsertProduct(Database& db, const ProductRow& row);
absl::Status SaveProduct(Database& db, const ProductRow& row);  // by uid
absl::Status EraseProduct(Database& db,
                          const std::string& uid);  // with its references and revisions

// Live ones only.
absl::StatusOr<std::optional<ReferenceRow>> FindReference(Database& db,
                                                          const std::string& product_uid,
                                                          const std::string& id);
absl::StatusOr<std::vector<ReferenceRow>> ReferencesAfter(Database& db,
                                                          const std::string& product_uid,
                                                          int64_t sequence, int limit);
// Of the latest reference of that id, live or not; nullopt if there never was one.
absl::StatusOr<std::optional<int64_t>> FindSequence(Database& db, const std::string& product_uid,
                                                    const std::string& id);
absl::Status InsertReference(Database& db, const ReferenceRow& row);
absl::Status EndReference(Database& db, ReferenceRow row, int64_t removed_in);
absl::Status InsertRevision(Database& db, const Product& product, const std::string& reason);

absl::StatusOr<bool> IsObjectUsed(Database& db, const std::string& sha256);
absl::StatusOr<absl::flat_hash_set<std::string>> UsedObjects(Database& db);
absl::StatusOr<Store::Counts> CountAll(Database& db);

absl::StatusOr<std::optional<RequestRow>> FindRequest(Database& db, const std::string& request_id,
                                                      absl::Time not_before);
absl::Status SaveRequest(Database& db, const RequestRow& row);
absl::Status PurgeRequests(Database& db, absl::Time before);

// Reads everything: the structure by SQLite's integrity_check, every row's checksum, and that rows
// agree with each other. DATA_LOSS saying what is wrong.
absl::Status VerifyAll(Database& db);

}  // namespace hfwa::store
