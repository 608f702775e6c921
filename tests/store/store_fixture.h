#pragma once

// A data directory that goes away, and short ways to fill it.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/store/sqlite_store.h"

namespace hfwa::store {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    // In memory where that is possible: what these tests check does not depend on the medium, and
    // the loops over every fault would spend their time waiting for fsync.
    const std::filesystem::path memory = "/dev/shm";
    const bool usable = ::access(memory.c_str(), W_OK) == 0;
    std::string name =
        ((usable ? memory : std::filesystem::temp_directory_path()) / "hfwa_store_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline Product NewProduct(const std::string& id) {
  Product product;
  product.id = id;
  return product;
}

inline Reference NewReference(const std::string& sha256, size_t size,
                              const std::string& source_name = "a.png") {
  Reference reference;
  reference.sha256 = sha256;
  reference.size_bytes = static_cast<int64_t>(size);
  reference.media_type = "image/png";
  reference.width = 4;
  reference.height = 3;
  reference.source_name = source_name;
  return reference;
}

// Puts each text as an object and registers all of them in one call.
inline absl::StatusOr<Store::Registration> AddTexts(Store& store, const std::string& product_id,
                                                    const std::vector<std::string>& texts,
                                                    const Retry& retry = {}, int limit = 256) {
  std::vector<std::unique_ptr<Store::ObjectLease>> leases;
  std::vector<Reference> references;
  for (const std::string& text : texts) {
    auto lease = store.PutObject(text);
    if (!lease.ok()) return lease.status();
    references.push_back(NewReference((*lease)->sha256(), text.size()));
    leases.push_back(*std::move(lease));
  }
  return store.AddReferences(
      product_id, std::move(references), limit, retry,
      [](const Store::Registration& r) { return "reply for " + r.product.etag; });
}

// SHA-256 of every file under objects/ab, sorted.
inline std::vector<std::string> StoredObjects(const std::string& directory) {
  std::vector<std::string> names;
  const std::string objects = directory + "/objects";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(objects)) {
    if (!entry.is_regular_file()) continue;
    names.push_back(entry.path().parent_path().filename().string() +
                    entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class StoreFixture : public testing::Test {
 protected:
  void SetUp() override { Reopen(); }
  void Reopen() {
    store_.reset();
    auto store = OpenSqliteStore(options_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  Store& store() { return *store_; }

  TemporaryDirectory directory_;
  FakeClock clock_;
  SqliteStoreOptions options_{.directory = directory_.path() + "/data", .clock = &clock_};
  std::unique_ptr<Store> store_;
};

}  // namespace hfwa::store
