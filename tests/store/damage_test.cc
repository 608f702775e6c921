// Damaged, foreign, newer and locked data directories.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/store/directory_lock.h"
#include "core/store/schema.h"
#include "core/store/sqlite.h"
#include "tests/store/script.h"
#include "tests/store/store_fixture.h"

namespace hfwa::store {
namespace {

using testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::stringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

class DamageTest : public StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    for (const Step& step : MakeScript()) {
      ASSERT_TRUE(step.run(store()).ok()) << step.name;
      step.apply(model_);
    }
    store_.reset();
    database_ = options_.directory + "/hfwa.db";
    intact_ = ReadFile(database_);
    ASSERT_GT(intact_.size(), 8192U);
  }

  // Opens the damaged database. It must say so or serve what was there, and nothing else.
  void ExpectRefusedOrIntact(const std::string& damage) {
    std::filesystem::remove(database_ + "-wal");
    std::filesystem::remove(database_ + "-shm");
    const auto opened = OpenSqliteStore(options_);
    if (opened.ok()) {
      EXPECT_EQ(Difference(**opened, options_.directory, model_), "") << damage;
      return;
    }
    ++refused_;
    // A damaged version number reads as another version.
    EXPECT_TRUE(absl::IsDataLoss(opened.status()) || absl::IsFailedPrecondition(opened.status()))
        << damage << ": " << opened.status();
    EXPECT_THAT(std::string(opened.status().message()), HasSubstr("hfwa.db")) << damage;
    EXPECT_EQ(StoredObjects(options_.directory).size(), model_["a"].size())
        << damage << ": images were removed";
  }

  Model model_;
  std::string database_;
  std::string intact_;
  int refused_ = 0;
};

TEST_F(DamageTest, flipped_bytes_in_any_page_are_found_or_harmless) {
  constexpr size_t kPage = 4096;
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    std::string bytes = intact_;
    const size_t page = random() % (bytes.size() / kPage) * kPage;
    const unsigned flips = 1 + random() % 8;
    for (unsigned i = 0; i < flips; ++i)
      bytes[page + random() % kPage] ^= static_cast<char>(1U << random() % 8);
    WriteFile(database_, bytes);
    ExpectRefusedOrIntact(absl::StrCat("seed ", seed));
  }
  EXPECT_GT(refused_, 10) << "hardly any damage was found";
}

// Every byte of the first rows' text, one at a time: SQLite alone would serve them changed.
TEST_F(DamageTest, changed_values_are_found) {
  const size_t at = intact_.find("renamed");
  ASSERT_NE(at, std::string::npos);
  for (size_t i = 0; i < 7; ++i) {
    std::string bytes = intact_;
    bytes[at + i] ^= 1;
    WriteFile(database_, bytes);
    ExpectRefusedOrIntact(absl::StrCat("byte ", i));
  }
  EXPECT_EQ(refused_, 7);
}

TEST_F(DamageTest, truncated_or_zeroed_database_is_refused) {
  for (const size_t size :
       {size_t{1}, size_t{99}, size_t{4096}, intact_.size() / 2, intact_.size() - 1}) {
    WriteFile(database_, intact_.substr(0, size));
    ExpectRefusedOrIntact(absl::StrCat("cut to ", size));
  }
  std::string zero_header = intact_;
  zero_header.replace(0, 100, std::string(100, '\0'));
  WriteFile(database_, zero_header);
  ExpectRefusedOrIntact("zero header");
  EXPECT_EQ(refused_, 6);
  WriteFile(database_, intact_);
  Reopen();
  EXPECT_EQ(Difference(store(), options_.directory, model_), "");
}

TEST_F(DamageTest, missing_or_empty_database_does_not_cost_the_images) {
  std::filesystem::remove(database_);
  EXPECT_TRUE(absl::IsDataLoss(OpenSqliteStore(options_).status()));
  WriteFile(database_, "");
  EXPECT_TRUE(absl::IsDataLoss(OpenSqliteStore(options_).status()));
  EXPECT_EQ(StoredObjects(options_.directory).size(), model_["a"].size());
}

// Schema ---------------------------------------------------------------------------------------

TEST_F(DamageTest, newer_schema_is_refused_and_the_file_untouched) {
  {
    auto db = Database::Open(database_, Database::Mode::kReadWrite, "");
    ASSERT_TRUE((*db)->Run("PRAGMA user_version = 99").ok());
  }
  const std::string before = Sha256Hex(ReadFile(database_));
  const auto opened = OpenSqliteStore(options_);
  EXPECT_TRUE(absl::IsFailedPrecondition(opened.status())) << opened.status();
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr("version 99"));
  EXPECT_EQ(Sha256Hex(ReadFile(database_)), before);
}

TEST_F(DamageTest, data_of_the_first_version_are_migrated_and_go_on) {
  {
    auto db = Database::Open(database_, Database::Mode::kReadWrite, "");
    ASSERT_TRUE((*db)->Run("ALTER TABLE products DROP COLUMN method").ok());
    ASSERT_TRUE((*db)->Run("ALTER TABLE products DROP COLUMN coreset_ratio").ok());
    ASSERT_TRUE((*db)->Run("PRAGMA user_version = 1").ok());
  }
  Reopen();
  EXPECT_EQ(Difference(store(), options_.directory, model_), "");
  EXPECT_EQ(store().GetProduct("a")->coreset_ratio, 1);
  ProductPatch patch;
  patch.coreset_ratio = 0.25;
  ASSERT_TRUE(store().UpdateProduct("a", patch, "", {}).ok());
  Reopen();
  EXPECT_EQ(store().GetProduct("a")->coreset_ratio, 0.25);
}

TEST_F(DamageTest, data_of_before_there_were_methods_are_migrated_and_go_on) {
  ProductPatch patch;
  patch.coreset_ratio = 0.25;
  Reopen();
  ASSERT_TRUE(store().UpdateProduct("a", patch, "", {}).ok());
  store_.reset();
  {
    auto db = Database::Open(database_, Database::Mode::kReadWrite, "");
    ASSERT_TRUE((*db)->Run("ALTER TABLE products DROP COLUMN method").ok());
    ASSERT_TRUE((*db)->Run("PRAGMA user_version = 2").ok());
  }
  Reopen();
  EXPECT_EQ(Difference(store(), options_.directory, model_), "");
  EXPECT_EQ(store().GetProduct("a")->method, Method::kHfwa);
  EXPECT_EQ(store().GetProduct("a")->coreset_ratio, 0.25);
  patch.method = Method::kAnomalyDino;
  ASSERT_TRUE(store().UpdateProduct("a", patch, "", {}).ok());
  Reopen();
  EXPECT_EQ(store().GetProduct("a")->method, Method::kAnomalyDino);
  store_.reset();
  // A method that nobody set, and one that nobody knows.
  for (const char* change : {"UPDATE products SET method = 'hfwa' WHERE id = 'a'",
                             "UPDATE products SET method = 'other' WHERE id = 'a'"}) {
    auto db = Database::Open(database_, Database::Mode::kReadWrite, "");
    ASSERT_TRUE((*db)->Run(change).ok());
    db->reset();
    EXPECT_TRUE(absl::IsDataLoss(OpenSqliteStore(options_).status())) << change;
  }
}

TEST_F(DamageTest, foreign_database_is_refused) {
  std::filesystem::remove_all(options_.directory + "/objects");
  std::filesystem::remove(database_);
  {
    auto db = Database::Open(database_, Database::Mode::kReadWrite, "");
    ASSERT_TRUE((*db)->Run("CREATE TABLE other (x)").ok());
  }
  EXPECT_TRUE(absl::IsDataLoss(OpenSqliteStore(options_).status()));
}

constexpr char kFirst[] = "CREATE TABLE t (x TEXT) STRICT; INSERT INTO t VALUES ('kept');";
constexpr char kSecond[] = "ALTER TABLE t ADD COLUMN y TEXT; UPDATE t SET y = 'new';";
constexpr char kBroken[] = "UPDATE t SET x = 'half done'; INSERT INTO absent VALUES (1);";

TEST(SchemaTest, older_schema_is_copied_and_migrated) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/x.db", backup = path + ".backup";
  auto db = *Database::Open(path, Database::Mode::kReadWrite, "");
  ASSERT_TRUE(Migrate(*db, {kFirst}, FileSystem::Real(), backup).ok());
  EXPECT_FALSE(std::filesystem::exists(backup)) << "there was nothing to copy";
  WriteFile(backup, "left by an interrupted migration");
  ASSERT_TRUE(Migrate(*db, {kFirst, kSecond}, FileSystem::Real(), backup).ok());
  EXPECT_EQ(*db->QueryInt("PRAGMA user_version"), 2);
  EXPECT_EQ(*db->QueryText("SELECT x || y FROM t"), "keptnew");
  auto copy = *Database::Open(backup, Database::Mode::kReadOnly, "");
  EXPECT_EQ(*copy->QueryInt("PRAGMA user_version"), 1);
  EXPECT_EQ(*copy->QueryText("SELECT x FROM t"), "kept");
  EXPECT_TRUE(Migrate(*db, {kFirst, kSecond}, FileSystem::Real(), backup).ok()) << "nothing to do";
  EXPECT_TRUE(absl::IsFailedPrecondition(Migrate(*db, {kFirst}, FileSystem::Real(), backup)));
}

TEST(SchemaTest, failed_migration_leaves_everything_as_it_was) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/x.db";
  auto db = *Database::Open(path, Database::Mode::kReadWrite, "");
  ASSERT_TRUE(Migrate(*db, {kFirst}, FileSystem::Real(), path + ".backup").ok());
  EXPECT_FALSE(Migrate(*db, {kFirst, kBroken}, FileSystem::Real(), path + ".backup").ok());
  EXPECT_EQ(*db->QueryInt("PRAGMA user_version"), 1);
  EXPECT_EQ(*db->QueryText("SELECT x FROM t"), "kept");
  EXPECT_TRUE(Migrate(*db, {kFirst, kSecond}, FileSystem::Real(), path + ".backup").ok());
}

// Lock -----------------------------------------------------------------------------------------

TEST_F(DamageTest, second_store_is_refused_with_the_owners_pid) {
  // The owner is another process, so that the pid is not ours by chance.
  int ready[2], finish[2];
  ASSERT_EQ(::pipe(ready), 0);
  ASSERT_EQ(::pipe(finish), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::close(finish[1]);
    const auto lock = DirectoryLock::Acquire(options_.directory + "/lock");
    char byte = lock.ok() ? 'y' : 'n';
    if (::write(ready[1], &byte, 1) == 1) (void)!::read(finish[0], &byte, 1);  // until killed
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'y');
  const std::string before = Sha256Hex(ReadFile(database_));
  const auto opened = OpenSqliteStore(options_);
  EXPECT_TRUE(absl::IsAlreadyExists(opened.status())) << opened.status();
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr(absl::StrCat("process ", child)));
  EXPECT_EQ(Sha256Hex(ReadFile(database_)), before);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  // Its file is still there.
  EXPECT_EQ(ReadFile(options_.directory + "/lock"), absl::StrCat(child, "\n"));
  Reopen();
  EXPECT_EQ(ReadFile(options_.directory + "/lock"), absl::StrCat(::getpid(), "\n"));
  EXPECT_TRUE(absl::IsAlreadyExists(OpenSqliteStore(options_).status()))
      << "within one process as well";
  for (const int fd : {ready[0], ready[1], finish[0], finish[1]}) ::close(fd);
}

}  // namespace
}  // namespace hfwa::store
