#include "core/store/sqlite_store.h"

#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/store/directory_lock.h"
#include "core/store/objects.h"
#include "core/store/open_database.h"
#include "core/store/outcome.h"
#include "core/store/sqlite.h"
#include "core/store/tables.h"
#include "core/store/validation.h"

namespace hfwa::store {
namespace {

constexpr absl::Duration kRetryWindow = absl::Hours(24);
constexpr int kNoLimit = std::numeric_limits<int>::max();

absl::StatusOr<std::string> NewUuid() {
  unsigned char b[16];
  if (::getrandom(b, sizeof(b), 0) != static_cast<ssize_t>(sizeof(b))) {
    return absl::UnavailableError("getrandom failed");
  }
  b[6] = static_cast<unsigned char>((b[6] & 0x0F) | 0x40);  // RFC 4122: version 4, variant 1
  b[8] = static_cast<unsigned char>((b[8] & 0x3F) | 0x80);
  const std::string hex = ToHex({reinterpret_cast<const char*>(b), sizeof(b)});
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                      hex.substr(16, 4), "-", hex.substr(20));
}

std::string ReferenceId(const std::string& sha256) {
  return absl::StrCat("r", sha256.substr(0, 32));
}

absl::StatusOr<ProductRow> RequireProduct(Database& db, const std::string& id) {
  HFWA_ASSIGN_OR_RETURN(std::optional<ProductRow> row, FindProduct(db, id));
  if (!row.has_value()) return absl::NotFoundError(absl::StrCat("no product ", id));
  return *std::move(row);
}

absl::StatusOr<ReferenceRow> RequireReference(Database& db, const ProductRow& product,
                                              const std::string& id) {
  HFWA_ASSIGN_OR_RETURN(std::optional<ReferenceRow> row,
                        FindReference(db, product.product.uid, id));
  if (!row.has_value()) {
    return absl::NotFoundError(
        absl::StrCat("product ", product.product.id, " has no reference ", id));
  }
  return *std::move(row);
}

absl::Status CheckEtag(const Product& product, const std::string& etag) {
  if (etag.empty() || etag == product.etag) return absl::OkStatus();
  return absl::AbortedError(
      absl::StrCat("product ", product.id, " has changed: its etag is ", product.etag));
}

absl::Status CheckFingerprint(const RequestRow& row, const Retry& retry) {
  if (row.fingerprint == retry.fingerprint) return absl::OkStatus();
  return absl::InvalidArgumentError("the request id was used for a request of other contents");
}

// FAILED_PRECONDITION where the product's bank cannot hold so many references.
absl::Status CheckReferenceCount(const Product& product, int count, int pictures_max) {
  const int most = pictures_max / PicturesPerReference(product.method);
  if (count <= most) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("product ", product.id, " may have at most ",
                                                    most, " references by its method, not ",
                                                    count));
}

// What the patch says of the bank; why that is another one, null if it is not.
absl::StatusOr<const char*> ChangeBank(Product& product, const ProductPatch& patch) {
  const double ratio = patch.coreset_ratio.value_or(product.coreset_ratio);
  const Method method = patch.method.value_or(product.method);
  const char* why = nullptr;
  if (ratio != std::exchange(product.coreset_ratio, ratio)) why = "coreset";
  if (method != std::exchange(product.method, method)) {
    HFWA_RETURN_IF_ERROR(CheckReferenceCount(product, product.reference_count, patch.pictures_max));
    why = "method";
  }
  return why;
}

// One change of a product. Its time never goes back, whatever the wall clock does.
void Touch(ProductRow& row, absl::Time now) {
  row.product.update_time = std::max(row.product.update_time, now);
  ++row.version;
  row.product.etag = Etag(row.product.uid, row.version);
}

class SqliteStore final : public Store {
 public:
  explicit SqliteStore(const SqliteStoreOptions& options)
      : options_(options), objects_(*options.files, options.directory + "/objects") {}
  ~SqliteStore() override;

  absl::Status Open();

  absl::StatusOr<Product> CreateProduct(Product product, const Retry& retry) override;
  absl::StatusOr<Product> GetProduct(const std::string& id) override;
  absl::StatusOr<std::vector<Product>> ListProducts(const Page& page) override;
  absl::StatusOr<Product> UpdateProduct(const std::string& id, const ProductPatch& patch,
                                        const std::string& etag, const Retry& retry) override;
  absl::Status DeleteProduct(const std::string& id, const std::string& etag,
                             const Retry& retry) override;
  absl::StatusOr<std::unique_ptr<ObjectLease>> PutObject(std::string_view bytes) override;
  absl::StatusOr<std::string> ReadObject(const std::string& sha256) override;
  absl::StatusOr<Registration> AddReferences(
      const std::string& product_id, std::vector<Reference> references, int pictures_max,
      const Retry& retry,
      const std::function<std::string(const Registration&)>& make_reply) override;
  absl::StatusOr<Product> DeleteReference(const std::string& product_id,
                                          const std::string& reference_id,
                                          const Retry& retry) override;
  absl::StatusOr<std::vector<Reference>> ListReferences(const std::string& product_id,
                                                        const Page& page) override;
  absl::StatusOr<Reference> GetReference(const std::string& product_id,
                                         const std::string& reference_id) override;
  absl::StatusOr<Revision> CurrentRevision(const std::string& product_id) override;
  absl::StatusOr<std::optional<std::string>> FindReply(const Retry& retry) override;
  absl::Status healthy() const override;
  absl::StatusOr<Counts> Count() override;

 private:
  class Lease;
  // What a mutation answers and remembers.
  struct Answer {
    std::string outcome;
    std::string reply;
  };

  absl::Time Now() const {
    return absl::FromUnixMicros(absl::ToUnixMicros(options_.clock->WallNow()));
  }

  // Runs `change` in one transaction, or answers what the same request answered before.
  template <typename Change>
  absl::StatusOr<std::string> Mutate(const Retry& retry, const Change& change);
  template <typename Change>
  absl::StatusOr<std::string> MutateIn(Database& db, const Retry& retry, const Change& change);
  absl::Status Commit(Database& db, Transaction& transaction);
  // Runs `query` on one snapshot.
  template <typename Query>
  auto Read(const Query& query) -> decltype(query(std::declval<Database&>()));

  absl::StatusOr<Registration> Register(Database& db, const std::string& product_id,
                                        std::vector<Reference> references, int pictures_max);
  // Sets healthy() to say so, once; afterwards nothing is written.
  void StopWriting(std::string_view why);
  void NoteObjectSync();
  bool IsLeased(const std::string& sha256);
  void ReleaseLease(const std::string& sha256);
  // Removes objects that neither a lease nor a reference holds.
  void Collect(const std::vector<std::string>& sha256s);
  void CollectOne(const std::string& sha256) ABSL_EXCLUSIVE_LOCKS_REQUIRED(leases_mu_);

  const SqliteStoreOptions options_;
  std::unique_ptr<DirectoryLock> lock_;
  ObjectFolder objects_;

  // Order: write_mu_, then leases_mu_, then read_mu_.
  absl::Mutex write_mu_;
  std::unique_ptr<Database> writer_ ABSL_GUARDED_BY(write_mu_);
  absl::Mutex leases_mu_;
  absl::flat_hash_map<std::string, int> leases_ ABSL_GUARDED_BY(leases_mu_);
  absl::Mutex read_mu_;
  std::unique_ptr<Database> reader_ ABSL_GUARDED_BY(read_mu_);

  // After a COMMIT that failed, its frames may still be found committed after a crash, until the
  // next commit overwrites them: until then no object that they may name is removed.
  std::atomic<bool> last_commit_unsure_{false};
  mutable absl::Mutex health_mu_;
  absl::Status health_ ABSL_GUARDED_BY(health_mu_);
};

class SqliteStore::Lease final : public Store::ObjectLease {
 public:
  Lease(SqliteStore* store, std::string sha256) : store_(store), sha256_(std::move(sha256)) {}
  ~Lease() override { store_->ReleaseLease(sha256_); }
  const std::string& sha256() const override { return sha256_; }

 private:
  SqliteStore* const store_;
  const std::string sha256_;
};

// Opening ----------------------------------------------------------------------------------------

absl::Status SqliteStore::Open() {
  FileSystem& files = *options_.files;
  HFWA_RETURN_IF_ERROR(MakeDirectories(files, options_.directory));
  HFWA_RETURN_IF_ERROR(CheckLocalFileSystem(options_.directory));
  HFWA_ASSIGN_OR_RETURN(lock_, DirectoryLock::Acquire(options_.directory + "/lock"));
  HFWA_ASSIGN_OR_RETURN(Connections connections, OpenDatabase(options_, objects_));
  HFWA_RETURN_IF_ERROR(objects_.Open());
  absl::MutexLock write_lock(&write_mu_);
  absl::MutexLock read_lock(&read_mu_);
  writer_ = std::move(connections.writer);
  reader_ = std::move(connections.reader);
  HFWA_ASSIGN_OR_RETURN(const auto used, UsedObjects(*reader_));
  return objects_.Sweep(used);
}

SqliteStore::~SqliteStore() {
  // The writer closes last: it moves the log into the database.
  {
    absl::MutexLock lock(&read_mu_);
    reader_.reset();
  }
  absl::MutexLock lock(&write_mu_);
  writer_.reset();
}

// Health -----------------------------------------------------------------------------------------

absl::Status SqliteStore::healthy() const {
  absl::MutexLock lock(&health_mu_);
  return health_;
}

void SqliteStore::StopWriting(std::string_view why) {
  absl::MutexLock lock(&health_mu_);
  if (!health_.ok()) return;
  health_ = absl::UnavailableError(
      absl::StrCat("no more writes until a restart, since an fsync failed: ", ToAbsl(why)));
}

void SqliteStore::NoteObjectSync() {
  if (objects_.sync_failed()) StopWriting("of an object");
}

// Mutations and reads in general -----------------------------------------------------------------

template <typename Change>
absl::StatusOr<std::string> SqliteStore::Mutate(const Retry& retry, const Change& change) {
  absl::MutexLock lock(&write_mu_);
  HFWA_RETURN_IF_ERROR(healthy());
  absl::StatusOr<std::string> outcome = MutateIn(*writer_, retry, change);
  if (writer_->sync_failed())
    StopWriting(outcome.ok() ? "of the database" : ToStd(outcome.status().message()));
  return outcome;
}

template <typename Change>
absl::StatusOr<std::string> SqliteStore::MutateIn(Database& db, const Retry& retry,
                                                  const Change& change) {
  HFWA_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(db, Transaction::Kind::kWrite));
  const absl::Time now = Now();
  const absl::Time horizon = now - kRetryWindow;
  if (!retry.request_id.empty()) {
    HFWA_ASSIGN_OR_RETURN(std::optional<RequestRow> known,
                          FindRequest(db, retry.request_id, horizon));
    if (known.has_value()) {
      HFWA_RETURN_IF_ERROR(CheckFingerprint(*known, retry));
      return std::move(known->outcome);
    }
  }
  HFWA_ASSIGN_OR_RETURN(Answer answer, change(db, now));
  HFWA_RETURN_IF_ERROR(PurgeRequests(db, horizon));
  if (!retry.request_id.empty()) {
    RequestRow row{retry.request_id, retry.fingerprint, answer.outcome, std::move(answer.reply),
                   now};
    HFWA_RETURN_IF_ERROR(SaveRequest(db, row));
  }
  HFWA_RETURN_IF_ERROR(Commit(db, transaction));
  return std::move(answer.outcome);
}

absl::Status SqliteStore::Commit(Database& db, Transaction& transaction) {
  const absl::Status committed = transaction.Commit();
  last_commit_unsure_ = !committed.ok();
  HFWA_RETURN_IF_ERROR(committed);
  // What is committed is safe in the log, so a checkpoint that fails is tried again after the next
  // commit; except that a failed fsync ends writing (Mutate sees to it).
  if (db.wal_frames() >= options_.checkpoint_frames) db.Checkpoint().IgnoreError();
  return absl::OkStatus();
}

template <typename Query>
auto SqliteStore::Read(const Query& query) -> decltype(query(std::declval<Database&>())) {
  absl::MutexLock lock(&read_mu_);
  HFWA_ASSIGN_OR_RETURN(const Transaction transaction,
                        Transaction::Begin(*reader_, Transaction::Kind::kRead));
  return query(*reader_);
}

// Products ---------------------------------------------------------------------------------------

absl::StatusOr<Product> SqliteStore::CreateProduct(Product product, const Retry& retry) {
  HFWA_RETURN_IF_ERROR(CheckProduct(product));
  HFWA_ASSIGN_OR_RETURN(product.uid, NewUuid());
  const auto create = [&](Database& db, absl::Time now) -> absl::StatusOr<Answer> {
    HFWA_ASSIGN_OR_RETURN(const auto taken, FindProduct(db, product.id));
    if (taken.has_value())
      return absl::AlreadyExistsError(absl::StrCat("there is a product ", product.id));
    ProductRow row{product, 0};
    row.product.revision = 0;
    row.product.reference_count = 0;
    row.product.create_time = now;
    row.product.update_time = now;
    Touch(row, now);
    HFWA_RETURN_IF_ERROR(InsertProduct(db, row));
    return Answer{EncodeOutcome(row.product), ""};
  };
  HFWA_ASSIGN_OR_RETURN(const std::string outcome, Mutate(retry, create));
  return DecodeProduct(outcome);
}

absl::StatusOr<Product> SqliteStore::GetProduct(const std::string& id) {
  return Read([&](Database& db) -> absl::StatusOr<Product> {
    HFWA_ASSIGN_OR_RETURN(ProductRow row, RequireProduct(db, id));
    return std::move(row.product);
  });
}

absl::StatusOr<std::vector<Product>> SqliteStore::ListProducts(const Page& page) {
  if (page.size < 0) return absl::InvalidArgumentError("page size below 0");
  return Read([&](Database& db) { return ProductsAfter(db, page.after_id, page.size); });
}

absl::StatusOr<Product> SqliteStore::UpdateProduct(const std::string& id, const ProductPatch& patch,
                                                   const std::string& etag, const Retry& retry) {
  const auto update = [&](Database& db, absl::Time now) -> absl::StatusOr<Answer> {
    HFWA_ASSIGN_OR_RETURN(ProductRow row, RequireProduct(db, id));
    HFWA_RETURN_IF_ERROR(CheckEtag(row.product, etag));
    if (patch.display_name.has_value()) row.product.display_name = *patch.display_name;
    if (patch.class_name.has_value()) row.product.class_name = *patch.class_name;
    if (patch.labels.has_value()) row.product.labels = *patch.labels;
    if (patch.threshold.has_value()) row.product.threshold = *patch.threshold;
    HFWA_ASSIGN_OR_RETURN(const char* const why, ChangeBank(row.product, patch));
    HFWA_RETURN_IF_ERROR(CheckProduct(row.product));
    const bool other_bank = why != nullptr && row.product.reference_count > 0;
    if (other_bank) ++row.product.revision;
    Touch(row, now);
    HFWA_RETURN_IF_ERROR(SaveProduct(db, row));
    if (other_bank) HFWA_RETURN_IF_ERROR(InsertRevision(db, row.product, why));
    return Answer{EncodeOutcome(row.product), ""};
  };
  HFWA_ASSIGN_OR_RETURN(const std::string outcome, Mutate(retry, update));
  return DecodeProduct(outcome);
}

absl::Status SqliteStore::DeleteProduct(const std::string& id, const std::string& etag,
                                        const Retry& retry) {
  std::vector<std::string> freed;
  const auto erase = [&](Database& db, absl::Time) -> absl::StatusOr<Answer> {
    HFWA_ASSIGN_OR_RETURN(const ProductRow row, RequireProduct(db, id));
    HFWA_RETURN_IF_ERROR(CheckEtag(row.product, etag));
    HFWA_ASSIGN_OR_RETURN(const auto references, ReferencesAfter(db, row.product.uid, 0, kNoLimit));
    for (const ReferenceRow& reference : references) freed.push_back(reference.reference.sha256);
    HFWA_RETURN_IF_ERROR(EraseProduct(db, row.product.uid));
    return Answer{};
  };
  HFWA_RETURN_IF_ERROR(Mutate(retry, erase).status());
  Collect(freed);
  return absl::OkStatus();
}

// Objects ----------------------------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<Store::ObjectLease>> SqliteStore::PutObject(std::string_view bytes) {
  HFWA_RETURN_IF_ERROR(healthy());
  HFWA_ASSIGN_OR_RETURN(const int64_t free, options_.files->FreeBytes(options_.directory));
  if (free - options_.min_free_bytes < static_cast<int64_t>(bytes.size())) {
    return absl::ResourceExhaustedError(
        absl::StrCat("disk full: ", free, " bytes are left in ", options_.directory));
  }
  std::string sha256 = Sha256Hex(bytes);
  {
    absl::MutexLock lock(&leases_mu_);
    ++leases_[sha256];  // before writing, so that nobody removes what is there
  }
  auto lease = std::make_unique<Lease>(this, sha256);
  const absl::Status put = objects_.Put(sha256, bytes);
  NoteObjectSync();
  HFWA_RETURN_IF_ERROR(put);
  return std::unique_ptr<ObjectLease>(std::move(lease));
}

absl::StatusOr<std::string> SqliteStore::ReadObject(const std::string& sha256) {
  if (!IsSha256(sha256)) return absl::InvalidArgumentError("sha256 must be 64 hexadecimal digits");
  absl::StatusOr<std::string> bytes = objects_.Read(sha256);
  if (!absl::IsNotFound(bytes.status())) return bytes;
  HFWA_ASSIGN_OR_RETURN(const bool used,
                        Read([&](Database& db) { return IsObjectUsed(db, sha256); }));
  if (used) return ObjectLost(sha256, "missing");
  return absl::NotFoundError(absl::StrCat("no object ", sha256));
}

bool SqliteStore::IsLeased(const std::string& sha256) {
  absl::MutexLock lock(&leases_mu_);
  return leases_.contains(sha256);
}

void SqliteStore::ReleaseLease(const std::string& sha256) {
  absl::MutexLock lock(&leases_mu_);
  const auto it = leases_.find(sha256);
  if (--it->second > 0) return;
  leases_.erase(it);
  CollectOne(sha256);
}

void SqliteStore::Collect(const std::vector<std::string>& sha256s) {
  for (const std::string& sha256 : sha256s) {
    absl::MutexLock lock(&leases_mu_);
    CollectOne(sha256);
  }
}

// Nobody adds a reference to an object without a lease, and none can be taken while leases_mu_ is
// held, so what the reader sees stays true. Whatever fails is left to the sweep at the next start.
void SqliteStore::CollectOne(const std::string& sha256) {
  if (leases_.contains(sha256) || last_commit_unsure_ || !healthy().ok()) return;
  const absl::StatusOr<bool> used = Read([&](Database& db) { return IsObjectUsed(db, sha256); });
  if (used.ok() && !*used) objects_.Remove(sha256).IgnoreError();
}

// References -------------------------------------------------------------------------------------

absl::StatusOr<Store::Registration> SqliteStore::Register(Database& db,
                                                          const std::string& product_id,
                                                          std::vector<Reference> references,
                                                          int pictures_max) {
  HFWA_ASSIGN_OR_RETURN(ProductRow row, RequireProduct(db, product_id));
  Product& product = row.product;
  const absl::Time time = std::max(product.update_time, Now());
  const int64_t revision = product.revision + 1;
  Registration registration;
  int added = 0;
  for (Reference& reference : references) {
    reference.id = ReferenceId(reference.sha256);
    HFWA_ASSIGN_OR_RETURN(std::optional<ReferenceRow> stored,
                          FindReference(db, product.uid, reference.id));
    registration.duplicate.push_back(stored.has_value());
    if (stored.has_value()) {
      registration.references.push_back(std::move(stored->reference));
      continue;
    }
    if (!IsLeased(reference.sha256)) {
      return absl::FailedPreconditionError(
          absl::StrCat("object ", reference.sha256, " is not leased"));
    }
    reference.create_time = time;
    HFWA_RETURN_IF_ERROR(InsertReference(db, {reference, 0, product.uid, revision, std::nullopt}));
    registration.references.push_back(std::move(reference));
    ++added;
  }
  if (added > 0) {
    product.reference_count += added;
    HFWA_RETURN_IF_ERROR(CheckReferenceCount(product, product.reference_count, pictures_max));
    product.revision = revision;
    Touch(row, time);
    HFWA_RETURN_IF_ERROR(SaveProduct(db, row));
    HFWA_RETURN_IF_ERROR(InsertRevision(db, product, "references added"));
  }
  registration.product = std::move(product);
  return registration;
}

absl::StatusOr<Store::Registration> SqliteStore::AddReferences(
    const std::string& product_id, std::vector<Reference> references, int pictures_max,
    const Retry& retry, const std::function<std::string(const Registration&)>& make_reply) {
  for (const Reference& reference : references) HFWA_RETURN_IF_ERROR(CheckReference(reference));
  const auto add = [&](Database& db, absl::Time) -> absl::StatusOr<Answer> {
    HFWA_ASSIGN_OR_RETURN(const Registration registration,
                          Register(db, product_id, std::move(references), pictures_max));
    return Answer{EncodeOutcome(registration),
                  make_reply ? make_reply(registration) : std::string()};
  };
  HFWA_ASSIGN_OR_RETURN(const std::string outcome, Mutate(retry, add));
  return DecodeRegistration(outcome);
}

absl::StatusOr<Product> SqliteStore::DeleteReference(const std::string& product_id,
                                                     const std::string& reference_id,
                                                     const Retry& retry) {
  std::vector<std::string> freed;
  const auto remove = [&](Database& db, absl::Time now) -> absl::StatusOr<Answer> {
    HFWA_ASSIGN_OR_RETURN(ProductRow row, RequireProduct(db, product_id));
    HFWA_ASSIGN_OR_RETURN(const ReferenceRow reference, RequireReference(db, row, reference_id));
    --row.product.reference_count;
    ++row.product.revision;
    Touch(row, now);
    HFWA_RETURN_IF_ERROR(EndReference(db, reference, row.product.revision));
    HFWA_RETURN_IF_ERROR(SaveProduct(db, row));
    HFWA_RETURN_IF_ERROR(InsertRevision(db, row.product, "reference deleted"));
    freed.push_back(reference.reference.sha256);
    return Answer{EncodeOutcome(row.product), ""};
  };
  HFWA_ASSIGN_OR_RETURN(const std::string outcome, Mutate(retry, remove));
  Collect(freed);
  return DecodeProduct(outcome);
}

absl::StatusOr<std::vector<Reference>> SqliteStore::ListReferences(const std::string& product_id,
                                                                   const Page& page) {
  if (page.size < 0) return absl::InvalidArgumentError("page size below 0");
  return Read([&](Database& db) -> absl::StatusOr<std::vector<Reference>> {
    HFWA_ASSIGN_OR_RETURN(const ProductRow product, RequireProduct(db, product_id));
    int64_t after = 0;
    if (!page.after_id.empty()) {
      // It may have been deleted since the page before.
      HFWA_ASSIGN_OR_RETURN(const auto sequence,
                            FindSequence(db, product.product.uid, page.after_id));
      if (!sequence.has_value())
        return absl::InvalidArgumentError("the page starts after an unknown reference");
      after = *sequence;
    }
    HFWA_ASSIGN_OR_RETURN(auto rows, ReferencesAfter(db, product.product.uid, after, page.size));
    std::vector<Reference> references;
    references.reserve(rows.size());
    for (ReferenceRow& row : rows) references.push_back(std::move(row.reference));
    return references;
  });
}

absl::StatusOr<Reference> SqliteStore::GetReference(const std::string& product_id,
                                                    const std::string& reference_id) {
  return Read([&](Database& db) -> absl::StatusOr<Reference> {
    HFWA_ASSIGN_OR_RETURN(const ProductRow product, RequireProduct(db, product_id));
    HFWA_ASSIGN_OR_RETURN(ReferenceRow row, RequireReference(db, product, reference_id));
    return std::move(row.reference);
  });
}

absl::StatusOr<Revision> SqliteStore::CurrentRevision(const std::string& product_id) {
  return Read([&](Database& db) -> absl::StatusOr<Revision> {
    HFWA_ASSIGN_OR_RETURN(const ProductRow product, RequireProduct(db, product_id));
    HFWA_ASSIGN_OR_RETURN(auto rows, ReferencesAfter(db, product.product.uid, 0, kNoLimit));
    Revision revision;
    revision.number = product.product.revision;
    for (ReferenceRow& row : rows) revision.references.push_back(std::move(row.reference));
    return revision;
  });
}

absl::StatusOr<std::optional<std::string>> SqliteStore::FindReply(const Retry& retry) {
  if (retry.request_id.empty()) return std::optional<std::string>();
  return Read([&](Database& db) -> absl::StatusOr<std::optional<std::string>> {
    HFWA_ASSIGN_OR_RETURN(std::optional<RequestRow> row,
                          FindRequest(db, retry.request_id, Now() - kRetryWindow));
    if (!row.has_value()) return std::optional<std::string>();
    HFWA_RETURN_IF_ERROR(CheckFingerprint(*row, retry));
    return std::optional<std::string>(std::move(row->reply));
  });
}

absl::StatusOr<Store::Counts> SqliteStore::Count() {
  return Read([](Database& db) { return CountAll(db); });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const SqliteStoreOptions& options) {
  auto store = std::make_unique<SqliteStore>(options);
  HFWA_RETURN_IF_ERROR(store->Open());
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace hfwa::store
