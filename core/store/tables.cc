#include "core/store/tables.h"

#include <xxhash.h>

#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"

namespace hfwa::store {
namespace {

// XXH3 over a row's values, each with its length, so that no two rows read the same.
class Checksum {
 public:
  Checksum& Add(std::string_view text) {
    Add(static_cast<int64_t>(text.size()));
    bytes_.append(text);
    return *this;
  }
  Checksum& Add(int64_t value) {
    char raw[sizeof(value)];
    std::memcpy(raw, &value, sizeof(value));
    bytes_.append(raw, sizeof(raw));
    return *this;
  }
  int64_t Get() const { return static_cast<int64_t>(XXH3_64bits(bytes_.data(), bytes_.size())); }

 private:
  std::string bytes_;
};

int64_t BitsOf(double value) {
  int64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

absl::Status DamagedRow(std::string_view table, const std::string& id) {
  return absl::DataLossError(absl::StrCat(
      "hfwa.db: damaged row in ", std::string(table), ": ",
      nlohmann::json(id).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)));
}

int64_t ChecksumOf(const ProductRow& row, const std::string& labels) {
  const Product& p = row.product;
  Checksum checksum;
  // Rows of before there were these columns have the defaults, which are no part of their sum. A
  // method's number is negative here, as no length and no ratio is.
  if (p.coreset_ratio != 1) checksum.Add(BitsOf(p.coreset_ratio));
  if (p.method != Method::kHfwa) checksum.Add(-static_cast<int64_t>(p.method));
  return checksum.Add(p.id)
      .Add(p.uid)
      .Add(p.display_name)
      .Add(p.class_name)
      .Add(labels)
      .Add(int64_t{p.threshold.has_value()})
      .Add(BitsOf(p.threshold.value_or(0)))
      .Add(p.revision)
      .Add(int64_t{p.reference_count})
      .Add(row.version)
      .Add(absl::ToUnixMicros(p.create_time))
      .Add(absl::ToUnixMicros(p.update_time))
      .Get();
}

int64_t ChecksumOf(const ReferenceRow& row) {
  const Reference& r = row.reference;
  return Checksum()
      .Add(row.product_uid)
      .Add(r.id)
      .Add(r.sha256)
      .Add(r.size_bytes)
      .Add(r.media_type)
      .Add(int64_t{r.width})
      .Add(int64_t{r.height})
      .Add(r.source_name)
      .Add(absl::ToUnixMicros(r.create_time))
      .Add(row.added_in)
      .Add(row.removed_in.value_or(-1))
      .Get();
}

int64_t ChecksumOf(const RequestRow& row) {
  return Checksum()
      .Add(row.request_id)
      .Add(row.fingerprint)
      .Add(row.outcome)
      .Add(row.reply)
      .Add(absl::ToUnixMicros(row.create_time))
      .Get();
}

// Labels are UTF-8 by the time they get here.
std::string EncodeLabels(const std::map<std::string, std::string>& labels) {
  return nlohmann::json(labels).dump();
}

bool DecodeLabels(const std::string& text, std::map<std::string, std::string>& labels) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return false;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) return false;
    labels[key] = value.get<std::string>();
  }
  return true;
}

#define HFWA_PRODUCT_COLUMNS                                                                   \
  "id, uid, display_name, class_name, labels, threshold, revision, reference_count, version, " \
  "create_time, "                                                                              \
  "update_time, checksum, coreset_ratio, method"
#define HFWA_REFERENCE_COLUMNS                                                              \
  "sequence, product_uid, id, sha256, size_bytes, media_type, width, height, source_name, " \
  "create_time, "                                                                           \
  "added_in, removed_in, checksum"
#define HFWA_REQUEST_COLUMNS "request_id, fingerprint, outcome, reply, create_time, checksum"

absl::StatusOr<ProductRow> ReadProduct(const Statement& s) {
  ProductRow row;
  Product& p = row.product;
  p.id = s.Text(0);
  p.uid = s.Text(1);
  p.display_name = s.Text(2);
  p.class_name = s.Text(3);
  const std::string labels = s.Text(4);
  if (!s.IsNull(5)) p.threshold = s.Real(5);
  p.revision = s.Int(6);
  p.reference_count = static_cast<int>(s.Int(7));
  row.version = s.Int(8);
  p.create_time = absl::FromUnixMicros(s.Int(9));
  p.update_time = absl::FromUnixMicros(s.Int(10));
  p.coreset_ratio = s.Real(12);
  const std::optional<Method> method = ParseMethod(s.Text(13));
  p.method = method.value_or(Method::kHfwa);
  if (!method.has_value() || ChecksumOf(row, labels) != s.Int(11) ||
      !DecodeLabels(labels, p.labels))
    return DamagedRow("products", p.id);
  p.etag = Etag(p.uid, row.version);
  return row;
}

absl::StatusOr<ReferenceRow> ReadReference(const Statement& s) {
  ReferenceRow row;
  Reference& r = row.reference;
  row.sequence = s.Int(0);
  row.product_uid = s.Text(1);
  r.id = s.Text(2);
  r.sha256 = s.Text(3);
  r.size_bytes = s.Int(4);
  r.media_type = s.Text(5);
  r.width = static_cast<int>(s.Int(6));
  r.height = static_cast<int>(s.Int(7));
  r.source_name = s.Text(8);
  r.create_time = absl::FromUnixMicros(s.Int(9));
  row.added_in = s.Int(10);
  if (!s.IsNull(11)) row.removed_in = s.Int(11);
  if (ChecksumOf(row) != s.Int(12)) return DamagedRow("product_references", r.id);
  return row;
}

absl::StatusOr<RequestRow> ReadRequest(const Statement& s) {
  RequestRow row{s.Text(0), s.Text(1), s.Text(2), s.Text(3), absl::FromUnixMicros(s.Int(4))};
  if (ChecksumOf(row) != s.Int(5)) return DamagedRow("requests", row.request_id);
  return row;
}

// The one row that `statement` finds, read by `read`; nullopt if there is none.
template <typename Row>
absl::StatusOr<std::optional<Row>> ReadOne(Statement& statement,
                                           absl::StatusOr<Row> (*read)(const Statement&)) {
  HFWA_ASSIGN_OR_RETURN(const bool found, statement.Step());
  if (!found) return std::optional<Row>();
  HFWA_ASSIGN_OR_RETURN(Row row, read(statement));
  return std::optional<Row>(std::move(row));
}

template <typename Row>
absl::StatusOr<std::vector<Row>> ReadAll(Statement& statement,
                                         absl::StatusOr<Row> (*read)(const Statement&)) {
  std::vector<Row> rows;
  for (;;) {
    HFWA_ASSIGN_OR_RETURN(const bool found, statement.Step());
    if (!found) return rows;
    HFWA_ASSIGN_OR_RETURN(Row row, read(statement));
    rows.push_back(std::move(row));
  }
}

void BindThreshold(Statement& statement, const std::optional<double>& threshold) {
  if (threshold.has_value()) {
    statement.Bind(*threshold);
  } else {
    statement.BindNull();
  }
}

}  // namespace

std::string Etag(const std::string& uid, int64_t version) {
  return Sha256Hex(absl::StrCat(uid, ":", version)).substr(0, 16);
}

absl::StatusOr<std::optional<ProductRow>> FindProduct(Database& db, const std::string& id) {
  HFWA_ASSIGN_OR_RETURN(Statement s,
                        db.Prepare("SELECT " HFWA_PRODUCT_COLUMNS " FROM products WHERE id = ?"));
  s.Bind(id);
  return ReadOne<ProductRow>(s, ReadProduct);
}

absl::StatusOr<std::vector<Product>> ProductsAfter(Database& db, const std::string& id, int limit) {
  HFWA_ASSIGN_OR_RETURN(Statement s, db.Prepare("SELECT " HFWA_PRODUCT_COLUMNS
                                                " FROM products WHERE id > ? ORDER BY id LIMIT ?"));
  s.Bind(id).Bind(int64_t{limit});
  HFWA_ASSIGN_OR_RETURN(std::vector<ProductRow> rows, ReadAll<ProductRow>(s, ReadProduct));
  std::vector<Product> products;
  products.reserve(rows.size());
  for (ProductRow& row : rows) products.push_back(std::move(row.product));
  return products;
}

absl::Status InsertProduct(Database& db, const ProductRow& row) {
  HFWA_ASSIGN_OR_RETURN(Statement s,
                        db.Prepare("INSERT INTO products (" HFWA_PRODUCT_COLUMNS
                                   ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  const Product& p = row.product;
  const std::string labels = EncodeLabels(p.labels);
  s.Bind(p.id).Bind(p.uid).Bind(p.display_name).Bind(p.class_name).Bind(labels);
  BindThreshold(s, p.threshold);
  s.Bind(p.revision).Bind(int64_t{p.reference_count}).Bind(row.version);
  s.Bind(absl::ToUnixMicros(p.create_time)).Bind(absl::ToUnixMicros(p.update_time));
  s.Bind(ChecksumOf(row, labels)).Bind(p.coreset_ratio);
  return s.Bind(std::string(MethodName(p.method))).Run();
}

absl::Status SaveProduct(Database& db, const ProductRow& row) {
  HFWA_ASSIGN_OR_RETURN(
      Statement s,
      db.Prepare("UPDATE products SET display_name = ?, class_name = ?, labels = ?, threshold = ?, "
                 "revision = ?, reference_count = ?, version = ?, update_time = ?, checksum = ?, "
                 "coreset_ratio = ?, method = ? WHERE uid = ?"));
  const Product& p = row.product;
  const std::string labels = EncodeLabels(p.labels);
  s.Bind(p.display_name).Bind(p.class_name).Bind(labels);
  BindThreshold(s, p.threshold);
  s.Bind(p.revision)
      .Bind(int64_t{p.reference_count})
      .Bind(row.version)
      .Bind(absl::ToUnixMicros(p.update_time));
  s.Bind(ChecksumOf(row, labels)).Bind(p.coreset_ratio);
  return s.Bind(std::string(MethodName(p.method))).Bind(p.uid).Run();
}

absl::Status EraseProduct(Database& db, const std::string& uid) {
  HFWA_ASSIGN_OR_RETURN(Statement s, db.Prepare("DELETE FROM products WHERE uid = ?"));
  return s.Bind(uid).Run();
}

absl::StatusOr<std::optional<ReferenceRow>> FindReference(Database& db,
                                                          const std::string& product_uid,
                                                          const std::string& id) {
  HFWA_ASSIGN_OR_RETURN(Statement s,
                        db.Prepare("SELECT " HFWA_REFERENCE_COLUMNS
                                   " FROM product_references WHERE product_uid = ? AND id = ? AND "
                                   "removed_in IS NULL"));
  s.Bind(product_uid).Bind(id);
  return ReadOne<ReferenceRow>(s, ReadReference);
}

absl::StatusOr<std::vector<ReferenceRow>> ReferencesAfter(Database& db,
                                                          const std::string& product_uid,
                                                          int64_t sequence, int limit) {
  HFWA_ASSIGN_OR_RETURN(
      Statement s, db.Prepare("SELECT " HFWA_REFERENCE_COLUMNS
                              " FROM product_references WHERE product_uid = ? AND "
                              "removed_in IS NULL AND sequence > ? ORDER BY sequence LIMIT ?"));
  s.Bind(product_uid).Bind(sequence).Bind(int64_t{limit});
  return ReadAll<ReferenceRow>(s, ReadReference);
}

absl::StatusOr<std::optional<int64_t>> FindSequence(Database& db, const std::string& product_uid,
                                                    const std::string& id) {
  HFWA_ASSIGN_OR_RETURN(
      Statement s,
      db.Prepare("SELECT MAX(sequence) FROM product_references WHERE product_uid = ? AND id = ?"));
  HFWA_RETURN_IF_ERROR(s.Bind(product_uid).Bind(id).Step().status());
  if (s.IsNull(0)) return std::optional<int64_t>();
  return std::optional<int64_t>(s.Int(0));
}

absl::Status InsertReference(Database& db, const ReferenceRow& row) {
  HFWA_ASSIGN_OR_RETURN(Statement s,
                        db.Prepare("INSERT INTO product_references (" HFWA_REFERENCE_COLUMNS
                                   ") VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)"));
  const Reference& r = row.reference;
  s.Bind(row.product_uid).Bind(r.id).Bind(r.sha256).Bind(r.size_bytes).Bind(r.media_type);
  s.Bind(int64_t{r.width})
      .Bind(int64_t{r.height})
      .Bind(r.source_name)
      .Bind(absl::ToUnixMicros(r.create_time));
  return s.Bind(row.added_in).Bind(ChecksumOf(row)).Run();
}

absl::Status EndReference(Database& db, ReferenceRow row, int64_t removed_in) {
  row.removed_in = removed_in;
  HFWA_ASSIGN_OR_RETURN(
      Statement s,
      db.Prepare("UPDATE product_references SET removed_in = ?, checksum = ? WHERE sequence = ?"));
  return s.Bind(removed_in).Bind(ChecksumOf(row)).Bind(row.sequence).Run();
}

absl::Status InsertRevision(Database& db, const Product& product, const std::string& reason) {
  HFWA_ASSIGN_OR_RETURN(
      Statement s,
      db.Prepare(
          "INSERT INTO revisions (product_uid, number, create_time, reason) VALUES (?, ?, ?, ?)"));
  s.Bind(product.uid)
      .Bind(product.revision)
      .Bind(absl::ToUnixMicros(product.update_time))
      .Bind(reason);
  return s.Run();
}

absl::StatusOr<bool> IsObjectUsed(Database& db, const std::string& sha256) {
  HFWA_ASSIGN_OR_RETURN(Statement s,
                        db.Prepare("SELECT 1 FROM product_references WHERE sha256 = ? AND "
                                   "removed_in IS NULL LIMIT 1"));
  return s.Bind(sha256).Step();
}

absl::StatusOr<absl::flat_hash_set<std::string>> UsedObjects(Database& db) {
  HFWA_ASSIGN_OR_RETURN(
      Statement s,
      db.Prepare("SELECT DISTINCT sha256 FROM product_references WHERE removed_in IS NULL"));
  absl::flat_hash_set<std::string> used;
  for (;;) {
    HFWA_ASSIGN_OR_RETURN(const bool found, s.Step());
    if (!found) return used;
    used.insert(s.Text(0));
  }
}

absl::StatusOr<Store::Counts> CountAll(Database& db) {
  Store::Counts counts;
  HFWA_ASSIGN_OR_RETURN(counts.products, db.QueryInt("SELECT COUNT(*) FROM products"));
  HFWA_ASSIGN_OR_RETURN(
      counts.references,
      db.QueryInt("SELECT COUNT(*) FROM product_references WHERE removed_in IS NULL"));
  // Objects are shared between products.
  HFWA_ASSIGN_OR_RETURN(
      counts.object_bytes,
      db.QueryInt("SELECT COALESCE(SUM(size), 0) FROM (SELECT MAX(size_bytes) AS size FROM "
                  "product_references WHERE removed_in IS NULL GROUP BY sha256)"));
  return counts;
}

absl::StatusOr<std::optional<RequestRow>> FindRequest(Database& db, const std::string& request_id,
                                                      absl::Time not_before) {
  HFWA_ASSIGN_OR_RETURN(Statement s,
                        db.Prepare("SELECT " HFWA_REQUEST_COLUMNS
                                   " FROM requests WHERE request_id = ? AND create_time > ?"));
  s.Bind(request_id).Bind(absl::ToUnixMicros(not_before));
  return ReadOne<RequestRow>(s, ReadRequest);
}

absl::Status SaveRequest(Database& db, const RequestRow& row) {
  HFWA_ASSIGN_OR_RETURN(Statement s, db.Prepare("INSERT INTO requests (" HFWA_REQUEST_COLUMNS
                                                ") VALUES (?, ?, ?, ?, ?, ?)"));
  s.Bind(row.request_id).Bind(row.fingerprint).Bind(row.outcome).BindBlob(row.reply);
  return s.Bind(absl::ToUnixMicros(row.create_time)).Bind(ChecksumOf(row)).Run();
}

absl::Status PurgeRequests(Database& db, absl::Time before) {
  HFWA_ASSIGN_OR_RETURN(Statement s, db.Prepare("DELETE FROM requests WHERE create_time <= ?"));
  return s.Bind(absl::ToUnixMicros(before)).Run();
}

absl::Status VerifyAll(Database& db) {
  HFWA_ASSIGN_OR_RETURN(const std::string verdict, db.QueryText("PRAGMA integrity_check(1)"));
  if (verdict != "ok") return absl::DataLossError(absl::StrCat("hfwa.db is damaged: ", verdict));
  HFWA_ASSIGN_OR_RETURN(Statement products,
                        db.Prepare("SELECT " HFWA_PRODUCT_COLUMNS " FROM products"));
  HFWA_ASSIGN_OR_RETURN(const auto product_rows, ReadAll<ProductRow>(products, ReadProduct));
  HFWA_ASSIGN_OR_RETURN(Statement references,
                        db.Prepare("SELECT " HFWA_REFERENCE_COLUMNS " FROM product_references"));
  HFWA_RETURN_IF_ERROR(ReadAll<ReferenceRow>(references, ReadReference).status());
  HFWA_ASSIGN_OR_RETURN(Statement requests,
                        db.Prepare("SELECT " HFWA_REQUEST_COLUMNS " FROM requests"));
  for (;;) {  // one by one: replies may be large
    HFWA_ASSIGN_OR_RETURN(const bool found, requests.Step());
    if (!found) break;
    HFWA_RETURN_IF_ERROR(ReadRequest(requests).status());
  }
  for (const ProductRow& row : product_rows) {
    HFWA_ASSIGN_OR_RETURN(const auto live,
                          ReferencesAfter(db, row.product.uid, 0, std::numeric_limits<int>::max()));
    if (static_cast<int>(live.size()) != row.product.reference_count) {
      return absl::DataLossError(absl::StrCat("hfwa.db: product ", row.product.id, " has ",
                                              live.size(), " references instead of ",
                                              row.product.reference_count));
    }
  }
  HFWA_ASSIGN_OR_RETURN(
      const int64_t strays,
      db.QueryInt("SELECT COUNT(*) FROM product_references WHERE product_uid NOT IN "
                  "(SELECT uid FROM products)"));
  return strays == 0 ? absl::OkStatus()
                     : absl::DataLossError("hfwa.db: references without a product");
}

}  // namespace hfwa::store
