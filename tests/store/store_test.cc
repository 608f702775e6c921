#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cmath>
#include <fstream>
#include <limits>
#include <thread>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "tests/store/store_fixture.h"

namespace hfwa::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class StoreTest : public StoreFixture {};

std::vector<std::string> Ids(const std::vector<Product>& products) {
  std::vector<std::string> ids;
  ids.reserve(products.size());
  for (const Product& product : products) ids.push_back(product.id);
  return ids;
}

std::vector<std::string> Hashes(const std::vector<Reference>& references) {
  std::vector<std::string> hashes;
  hashes.reserve(references.size());
  for (const Reference& reference : references) hashes.push_back(reference.sha256);
  return hashes;
}

void ExpectSame(const Product& a, const Product& b) {
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.uid, b.uid);
  EXPECT_EQ(a.display_name, b.display_name);
  EXPECT_EQ(a.class_name, b.class_name);
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_EQ(a.threshold, b.threshold);
  EXPECT_EQ(a.coreset_ratio, b.coreset_ratio);
  EXPECT_EQ(a.method, b.method);
  EXPECT_EQ(a.revision, b.revision);
  EXPECT_EQ(a.reference_count, b.reference_count);
  EXPECT_EQ(a.create_time, b.create_time);
  EXPECT_EQ(a.update_time, b.update_time);
  EXPECT_EQ(a.etag, b.etag);
}

// Products -------------------------------------------------------------------------------------

TEST_F(StoreTest, created_product_reads_back_the_same_and_after_reopening) {
  Product product = NewProduct("nut-1");
  product.display_name = "Mutter \xC3\xBC \"x\"";
  product.class_name = "metal_nut";
  product.labels = {{"line", "3"}, {"", "empty"}};
  product.threshold = 0.1;
  const auto created = store().CreateProduct(product, {});
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(created->revision, 0);
  EXPECT_EQ(created->reference_count, 0);
  EXPECT_EQ(created->create_time, clock_.WallNow());
  EXPECT_THAT(
      created->uid,
      testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_EQ(created->labels, product.labels);
  EXPECT_EQ(created->threshold, 0.1);
  ExpectSame(*created, *store().GetProduct("nut-1"));
  Reopen();
  ExpectSame(*created, *store().GetProduct("nut-1"));
}

TEST_F(StoreTest, taken_id_is_refused_and_a_later_product_of_that_id_has_another_uid) {
  const auto first = store().CreateProduct(NewProduct("a"), {});
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(absl::IsAlreadyExists(store().CreateProduct(NewProduct("a"), {}).status()));
  ASSERT_TRUE(store().DeleteProduct("a", "", {}).ok());
  const auto second = store().CreateProduct(NewProduct("a"), {});
  ASSERT_TRUE(second.ok());
  EXPECT_NE(first->uid, second->uid);
  EXPECT_NE(first->etag, second->etag);
}

TEST_F(StoreTest, hostile_ids_and_texts_are_refused) {
  const std::string long_id(64, 'a');
  for (const std::string& id :
       {std::string(), std::string("../x"), std::string("a/b"), std::string("A"),
        std::string("a\0b", 3), std::string("1a"), long_id, std::string("a'; DROP TABLE x")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(store().CreateProduct(NewProduct(id), {}).status())) << id;
  }
  Product bad_utf8 = NewProduct("a");
  bad_utf8.labels["k"] = "\xFF";
  EXPECT_TRUE(absl::IsInvalidArgument(store().CreateProduct(bad_utf8, {}).status()));
  Product not_a_number = NewProduct("a");
  not_a_number.threshold = std::nan("");
  EXPECT_TRUE(absl::IsInvalidArgument(store().CreateProduct(not_a_number, {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(store().ReadObject("../../etc/passwd").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(store().ReadObject(std::string(64, 'G')).status()));
  EXPECT_TRUE(absl::IsNotFound(store().GetProduct("'; DROP TABLE products; --").status()));
}

TEST_F(StoreTest, unknown_product_is_not_found_everywhere) {
  EXPECT_TRUE(absl::IsNotFound(store().GetProduct("a").status()));
  EXPECT_TRUE(absl::IsNotFound(store().UpdateProduct("a", {}, "", {}).status()));
  EXPECT_TRUE(absl::IsNotFound(store().DeleteProduct("a", "", {})));
  EXPECT_TRUE(absl::IsNotFound(AddTexts(store(), "a", {"x"}).status()));
  EXPECT_TRUE(absl::IsNotFound(store().DeleteReference("a", "r1", {}).status()));
  EXPECT_TRUE(absl::IsNotFound(store().ListReferences("a", {}).status()));
  EXPECT_TRUE(absl::IsNotFound(store().GetReference("a", "r1").status()));
  EXPECT_TRUE(absl::IsNotFound(store().CurrentRevision("a").status()));
  EXPECT_THAT(StoredObjects(options_.directory), IsEmpty());
}

TEST_F(StoreTest, products_come_by_id_a_page_at_a_time) {
  for (const char* id : {"c", "a", "e", "b", "d"})
    ASSERT_TRUE(store().CreateProduct(NewProduct(id), {}).ok());
  EXPECT_THAT(Ids(*store().ListProducts({.size = 2, .after_id = ""})), ElementsAre("a", "b"));
  EXPECT_THAT(Ids(*store().ListProducts({.size = 2, .after_id = "b"})), ElementsAre("c", "d"));
  EXPECT_THAT(Ids(*store().ListProducts({.size = 2, .after_id = "d"})), ElementsAre("e"));
  EXPECT_THAT(Ids(*store().ListProducts({.size = 2, .after_id = "bb"})), ElementsAre("c", "d"));
}

TEST_F(StoreTest, update_changes_what_the_patch_names_and_the_etag) {
  Product product = NewProduct("a");
  product.display_name = "old";
  product.threshold = 0.5;
  const auto created = store().CreateProduct(product, {});
  clock_.Advance(absl::Seconds(1));
  ProductPatch patch;
  patch.labels.emplace()["k"] = "v";
  patch.threshold.emplace(std::nullopt);
  const auto updated = store().UpdateProduct("a", patch, created->etag, {});
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(updated->display_name, "old");
  EXPECT_EQ(updated->labels.at("k"), "v");
  EXPECT_FALSE(updated->threshold.has_value());
  EXPECT_NE(updated->etag, created->etag);
  EXPECT_EQ(updated->update_time, created->update_time + absl::Seconds(1));
  EXPECT_EQ(updated->create_time, created->create_time);
  ExpectSame(*updated, *store().GetProduct("a"));
  EXPECT_TRUE(absl::IsAborted(store().UpdateProduct("a", patch, created->etag, {}).status()));
  EXPECT_TRUE(absl::IsAborted(store().DeleteProduct("a", created->etag, {})));
  EXPECT_TRUE(store().DeleteProduct("a", updated->etag, {}).ok());
}

TEST_F(StoreTest, update_time_never_goes_back) {
  clock_.Advance(absl::Hours(1));
  const auto created = store().CreateProduct(NewProduct("a"), {});
  clock_.Advance(-absl::Hours(1));
  const auto updated = store().UpdateProduct("a", {}, "", {});
  EXPECT_EQ(updated->update_time, created->update_time);
  const auto added = AddTexts(store(), "a", {"x"});
  EXPECT_EQ(added->product.update_time, created->update_time);
  EXPECT_EQ(added->references[0].create_time, created->update_time);
}

// References -----------------------------------------------------------------------------------

TEST_F(StoreTest, another_coreset_ratio_is_another_revision_where_there_are_references) {
  Product product = NewProduct("a");
  product.coreset_ratio = 0.5;
  ASSERT_TRUE(store().CreateProduct(product, {}).ok());
  ProductPatch patch;
  patch.coreset_ratio = 0.25;
  EXPECT_EQ(store().UpdateProduct("a", patch, "", {})->revision, 0) << "empty";
  ASSERT_TRUE(AddTexts(store(), "a", {"x"}, {}).ok());
  EXPECT_EQ(store().UpdateProduct("a", patch, "", {})->revision, 1) << "the same";
  patch.coreset_ratio = 1;
  const auto updated = store().UpdateProduct("a", patch, "", {"id", "contents"});
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(updated->revision, 2);
  EXPECT_EQ(store().CurrentRevision("a")->number, 2);
  EXPECT_EQ(store().CurrentRevision("a")->references.size(), 1U);
  ExpectSame(*updated, *store().GetProduct("a"));
  ExpectSame(*updated, *store().UpdateProduct("a", patch, "", {"id", "contents"}));
  for (const double wrong : {0.0, -1.0, 1.5, std::nan("")}) {
    patch.coreset_ratio = wrong;
    EXPECT_TRUE(absl::IsInvalidArgument(store().UpdateProduct("a", patch, "", {}).status()));
  }
}

TEST_F(StoreTest, another_method_is_another_revision_and_may_take_fewer_references) {
  Product product = NewProduct("a");
  product.method = Method::kAnomalyDino;
  ASSERT_TRUE(store().CreateProduct(product, {}).ok());
  EXPECT_EQ(store().GetProduct("a")->method, Method::kAnomalyDino);
  // Eight pictures each, so that two references fill a bank of sixteen.
  ASSERT_TRUE(AddTexts(store(), "a", {"x", "y"}, {}, 16).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(AddTexts(store(), "a", {"z"}, {}, 23).status()));
  EXPECT_EQ(store().GetProduct("a")->reference_count, 2) << "nothing is left of a refused one";

  ProductPatch patch;
  patch.method = Method::kAnomalyDino;
  EXPECT_EQ(store().UpdateProduct("a", patch, "", {})->revision, 1) << "the same";
  patch.method = Method::kHfwa;
  const auto updated = store().UpdateProduct("a", patch, "", {"id", "contents"});
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(updated->revision, 2);
  EXPECT_EQ(updated->method, Method::kHfwa);
  ExpectSame(*updated, *store().GetProduct("a"));
  ExpectSame(*updated, *store().UpdateProduct("a", patch, "", {"id", "contents"}));
  ASSERT_TRUE(AddTexts(store(), "a", {"z"}, {}, 3).ok()) << "one picture each";

  patch.method = Method::kAnomalyDino;
  patch.pictures_max = 23;
  EXPECT_TRUE(absl::IsFailedPrecondition(store().UpdateProduct("a", patch, "", {}).status()));
  EXPECT_EQ(store().GetProduct("a")->method, Method::kHfwa);
  patch.pictures_max = 24;
  const auto turned = store().UpdateProduct("a", patch, "", {"id-2", "contents"});
  ASSERT_TRUE(turned.ok()) << turned.status();
  Reopen();
  ExpectSame(*turned, *store().GetProduct("a"));
  ExpectSame(*turned, *store().UpdateProduct("a", patch, "", {"id-2", "contents"}));
}

TEST_F(StoreTest, references_keep_their_order_and_make_revisions) {
  ASSERT_TRUE(store().CreateProduct(NewProduct("a"), {}).ok());
  const auto first = AddTexts(store(), "a", {"z", "y", "x"});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->product.revision, 1);
  EXPECT_EQ(first->product.reference_count, 3);
  EXPECT_THAT(first->duplicate, ElementsAre(false, false, false));
  EXPECT_EQ(first->references[0].id, "r" + Sha256Hex("z").substr(0, 32));
  const auto second = AddTexts(store(), "a", {"w"});
  EXPECT_EQ(second->product.revision, 2);
  Reopen();
  const auto revision = store().CurrentRevision("a");
  EXPECT_EQ(revision->number, 2);
  EXPECT_THAT(Hashes(revision->references),
              ElementsAre(Sha256Hex("z"), Sha256Hex("y"), Sha256Hex("x"), Sha256Hex("w")));
  EXPECT_EQ(*store().ReadObject(Sha256Hex("y")), "y");
  EXPECT_EQ(store().GetReference("a", first->references[1].id)->sha256, Sha256Hex("y"));
  EXPECT_EQ(store().GetReference("a", first->references[1].id)->width, 4);
}

TEST_F(StoreTest, references_come_a_page_at_a_time_even_after_the_last_one_was_deleted) {
  ASSERT_TRUE(store().CreateProduct(NewProduct("a"), {}).ok());
  const auto added = AddTexts(store(), "a", {"1", "2", "3", "4"});
  const std::string second = added->references[1].id;
  EXPECT_THAT(Hashes(*store().ListReferences("a", {.size = 2, .after_id = ""})),
              ElementsAre(Sha256Hex("1"), Sha256Hex("2")));
  ASSERT_TRUE(store().DeleteReference("a", second, {}).ok());
  EXPECT_THAT(Hashes(*store().ListReferences("a", {.size = 2, .after_id = second})),
              ElementsAre(Sha256Hex("3"), Sha256Hex("4")));
  EXPECT_TRUE(
      absl::IsInvalidArgument(store().ListReferences("a", {.size = 2, .after_id = "r0"}).status()));
}

TEST_F(StoreTest, same_bytes_are_one_reference_within_a_call_and_across_calls) {
  ASSERT_TRUE(store().CreateProduct(NewProduct("a"), {}).ok());
  const auto first = AddTexts(store(), "a", {"x", "x"});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_THAT(first->duplicate, ElementsAre(false, true));
  EXPECT_EQ(first->product.reference_count, 1);
  const auto second = AddTexts(store(), "a", {"x"});
  EXPECT_THAT(second->duplicate, ElementsAre(true));
  EXPECT_EQ(second->references[0].id, first->references[0].id);
  EXPECT_EQ(second->references[0].create_time, first->references[0].create_time);
  EXPECT_EQ(second->product.revision, 1);
  EXPECT_EQ(second->product.etag, first->product.etag);
}

TEST_F(StoreTest, too_many_references_are_refused_as_a_whole) {
  ASSERT_TRUE(store().CreateProduct(NewProduct("a"), {}).ok());
  ASSERT_TRUE(AddTexts(store(), "a", {"1", "2"}, {}, 3).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(AddTexts(store(), "a", {"3", "4"}, {}, 3).status()));
  EXPECT_EQ(store().GetProduct("a")->reference_count, 2);
  EXPECT_EQ(store().GetProduct("a")->revision, 1);
  EXPECT_THAT(StoredObjects(options_.directory), SizeIs(2));
  EXPECT_TRUE(AddTexts(store(), "a", {"3", "1"}, {}, 3).ok());
  EXPECT_TRUE(AddTexts(store(), "a", {"1", "2"}, {}, 3).ok()) << "duplicates need no room";
}

TEST_F(StoreTest, reference_without_lease_is_refused) {
  ASSERT_TRUE(store().CreateProduct(NewProduct("a"), {}).ok());
  const auto added = store().AddReferences("a", {NewReference(Sha256Hex("x"), 1)}, 9, {}, nullptr);
  EXPECT_TRUE(absl::IsFailedPrecondition(added.status()));
  const auto hostile = store().AddReferences("a", {NewReference("../../x", 1)}, 9, {}, nullptr);
  EXPECT_TRUE(absl::IsInvalidArgument(hostile.status()));
}

TEST_F(StoreTest, deleted_reference_makes_a_revision_and_can_come_back_last) {
  ASSERT_TRUE(store().CreateProduct(NewProduct("a"), {}).ok());
  const auto added = AddTexts(store(), "a", {"x", "y"});
  const auto deleted = store().DeleteReference("a", added->references[0].id, {});
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(deleted->revision, 2);
  EXPECT_EQ(deleted->reference_count, 1);
  EXPECT_NE(deleted->etag, added->product.etag);
  EXPECT_TRUE(absl::IsNotFound(store().GetReference("a", added->references[0].id).status()));
  EXPECT_TRUE(absl::IsNotFound(store().DeleteReference("a", added->references[0].id, {}).status()));
  EXPECT_TRUE(absl::IsNotFound(store().ReadObject(Sha256Hex("x")).status()));
  EXPECT_EQ(AddTexts(store(), "a", {"x"})->product.revision, 3);
  EXPECT_THAT(Hashes(store().CurrentRevision("a")->references),
              ElementsAre(Sha256Hex("y"), Sha256Hex("x")));
  Reopen();
  EXPECT_EQ(*store().ReadObject(Sha256Hex("x")), "x");
}

// Objects --------------------------------------------------------------------------------------

TEST_F(StoreTest, object_stays_while_a_lease_or_any_reference_holds_it) {
  ASSERT_TRUE(store().CreateProduct(NewProduct("a"), {}).ok());
  ASSERT_TRUE(store().CreateProduct(NewProduct("b"), {}).ok());
  auto lease = store().PutObject("x");
  ASSERT_TRUE(lease.ok());
  auto second = store().PutObject("x");
  lease->reset();
  EXPECT_TRUE(store().ReadObject(Sha256Hex("x")).ok()) << "the second lease holds it";
  second->reset();
  EXPECT_THAT(StoredObjects(options_.directory), IsEmpty());

  const auto in_a = AddTexts(store(), "a", {"x"});
  ASSERT_TRUE(AddTexts(store(), "b", {"x"}).ok());
  EXPECT_EQ(store().Count()->object_bytes, 1);
  ASSERT_TRUE(store().DeleteReference("a", in_a->references[0].id, {}).ok());
  EXPECT_TRUE(store().ReadObject(Sha256Hex("x")).ok()) << "product b holds it";
  lease = store().PutObject("x");
  ASSERT_TRUE(store().DeleteProduct("b", "", {}).ok());
  EXPECT_TRUE(store().ReadObject(Sha256Hex("x")).ok()) << "a lease holds it";
  lease->reset();
  EXPECT_THAT(StoredObjects(options_.directory), IsEmpty());
}

TEST_F(StoreTest, damaged_or_missing_object_is_data_loss_and_putting_it_again_heals_it) {
  ASSERT_TRUE(store().CreateProduct(NewProduct("a"), {}).ok());
  const std::string text = "some image bytes";
  ASSERT_TRUE(AddTexts(store(), "a", {text}).ok());
  const std::string sha = Sha256Hex(text);
  const std::string path =
      options_.directory + "/objects/" + sha.substr(0, 2) + "/" + sha.substr(2);
  for (const std::string& damaged :
       {std::string("some image bytez"), std::string("some"), std::string(), text + "x"}) {
    std::ofstream(path, std::ios::trunc) << damaged;
    EXPECT_TRUE(absl::IsDataLoss(store().ReadObject(sha).status())) << damaged;
    const auto again = AddTexts(store(), "a", {text});
    EXPECT_THAT(again->duplicate, ElementsAre(true));
    EXPECT_EQ(*store().ReadObject(sha), text);
  }
  std::filesystem::remove(path);
  EXPECT_TRUE(absl::IsDataLoss(store().ReadObject(sha).status()));
  EXPECT_TRUE(store().CurrentRevision("a").ok()) << "the product still answers";
}

TEST_F(StoreTest, opening_sweeps_objects_without_reference_and_temporary_files_but_nothing_else) {
  ASSERT_TRUE(store().CreateProduct(NewProduct("a"), {}).ok());
  ASSERT_TRUE(AddTexts(store(), "a", {"x"}).ok());
  store_.reset();
  const std::string objects = options_.directory + "/objects";
  const std::string orphan = Sha256Hex("orphan");
  std::filesystem::create_directory(objects + "/" + orphan.substr(0, 2));
  std::ofstream(objects + "/" + orphan.substr(0, 2) + "/" + orphan.substr(2)) << "orphan";
  std::ofstream(objects + "/tmp/7") << "half";
  std::ofstream(objects + "/notes.txt") << "the operator's";
  Reopen();
  EXPECT_FALSE(
      std::filesystem::exists(objects + "/" + orphan.substr(0, 2) + "/" + orphan.substr(2)));
  EXPECT_FALSE(std::filesystem::exists(objects + "/tmp/7"));
  EXPECT_TRUE(std::filesystem::exists(objects + "/notes.txt"));
  EXPECT_TRUE(store().ReadObject(Sha256Hex("x")).ok());
}

TEST_F(StoreTest, low_disk_refuses_objects_but_not_deletions) {
  ASSERT_TRUE(store().CreateProduct(NewProduct("a"), {}).ok());
  const auto added = AddTexts(store(), "a", {"x"});
  options_.min_free_bytes = std::numeric_limits<int64_t>::max() / 2;
  Reopen();
  EXPECT_TRUE(absl::IsResourceExhausted(store().PutObject("y").status()));
  EXPECT_TRUE(store().healthy().ok());
  EXPECT_TRUE(store().DeleteReference("a", added->references[0].id, {}).ok());
}

TEST_F(StoreTest, data_directory_is_private_and_its_parents_are_made) {
  TemporaryDirectory other;
  SqliteStoreOptions options{.directory = other.path() + "/p/q/data"};
  ASSERT_TRUE(OpenSqliteStore(options).ok());
  struct stat info;
  ASSERT_EQ(::stat(options.directory.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
}

TEST_F(StoreTest, counts_products_references_and_bytes) {
  ASSERT_TRUE(store().CreateProduct(NewProduct("a"), {}).ok());
  const auto added = AddTexts(store(), "a", {"xx", "yyy", "z"});
  ASSERT_TRUE(store().DeleteReference("a", added->references[2].id, {}).ok());
  const auto counts = store().Count();
  EXPECT_EQ(counts->products, 1);
  EXPECT_EQ(counts->references, 2);
  EXPECT_EQ(counts->object_bytes, 5);
}

// Retries --------------------------------------------------------------------------------------

TEST_F(StoreTest, every_mutation_repeated_answers_as_the_first_did) {
  const Retry create{"id-1", "f1"}, update{"id-2", "f2"}, add{"id-3", "f3"}, remove{"id-4", "f4"},
      erase{"id-5", "f5"};
  const auto created = store().CreateProduct(NewProduct("a"), create);
  ProductPatch patch;
  patch.display_name = "new";
  const auto updated = store().UpdateProduct("a", patch, created->etag, update);
  const auto added = AddTexts(store(), "a", {"x", "y"}, add);
  const auto removed = store().DeleteReference("a", added->references[0].id, remove);
  ASSERT_TRUE(removed.ok()) << removed.status();
  for (int round = 0; round < 2; ++round) {
    ExpectSame(*created, *store().CreateProduct(NewProduct("a"), create));
    ExpectSame(*updated, *store().UpdateProduct("a", patch, created->etag, update));
    const auto again = AddTexts(store(), "a", {"x", "y"}, add);
    ExpectSame(added->product, again->product);
    EXPECT_EQ(again->duplicate, added->duplicate);
    EXPECT_EQ(again->references[1].create_time, added->references[1].create_time);
    ExpectSame(*removed, *store().DeleteReference("a", added->references[0].id, remove));
    EXPECT_EQ(store().GetProduct("a")->revision, 2) << "nothing was done again";
    EXPECT_EQ(**store().FindReply(add), "reply for " + added->product.etag);
    Reopen();
  }
  EXPECT_TRUE(store().DeleteProduct("a", removed->etag, erase).ok());
  EXPECT_TRUE(store().DeleteProduct("a", removed->etag, erase).ok());
  ExpectSame(*created, *store().CreateProduct(NewProduct("a"), create));
  EXPECT_TRUE(absl::IsNotFound(store().GetProduct("a").status())) << "a repetition creates nothing";
}

TEST_F(StoreTest, request_id_with_other_contents_is_refused) {
  ASSERT_TRUE(store().CreateProduct(NewProduct("a"), {"id", "f"}).ok());
  EXPECT_TRUE(
      absl::IsInvalidArgument(store().CreateProduct(NewProduct("b"), {"id", "g"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(AddTexts(store(), "a", {"x"}, {"id", "h"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(store().FindReply({"id", "h"}).status()));
  EXPECT_TRUE(absl::IsNotFound(store().GetProduct("b").status()));
}

TEST_F(StoreTest, failed_request_is_not_remembered) {
  EXPECT_TRUE(absl::IsNotFound(AddTexts(store(), "a", {"x"}, {"id", "f"}).status()));
  EXPECT_FALSE(store().FindReply({"id", "f"})->has_value());
  ASSERT_TRUE(store().CreateProduct(NewProduct("a"), {}).ok());
  EXPECT_TRUE(AddTexts(store(), "a", {"x"}, {"id", "f"}).ok());
}

TEST_F(StoreTest, request_is_forgotten_after_24_hours) {
  ASSERT_TRUE(store().CreateProduct(NewProduct("a"), {"id", "f"}).ok());
  clock_.Advance(absl::Hours(24) - absl::Seconds(1));
  EXPECT_TRUE(store().FindReply({"id", "f"})->has_value());
  clock_.Advance(absl::Seconds(2));
  EXPECT_FALSE(store().FindReply({"id", "f"})->has_value());
  EXPECT_TRUE(store().CreateProduct(NewProduct("b"), {"id", "g"}).ok());
}

// Threads --------------------------------------------------------------------------------------

TEST_F(StoreTest, readers_see_whole_revisions_while_writers_write) {
  // A checkpoint after every commit, at the readers' worst moment.
  options_.checkpoint_frames = 1;
  Reopen();
  constexpr int kWriters = 3;
  constexpr int kRounds = 12;
  for (int w = 0; w < kWriters; ++w)
    ASSERT_TRUE(store().CreateProduct(NewProduct(absl::StrCat("p", w)), {}).ok());
  std::atomic<int> writing{kWriters};
  std::vector<std::thread> threads;
  threads.reserve(kWriters);
  for (int w = 0; w < kWriters; ++w) {
    threads.emplace_back([&, w] {
      const std::string id = absl::StrCat("p", w);
      for (int i = 0; i < kRounds; ++i) {
        // Two at a time, the second shared by all writers; every third is deleted again.
        const auto added =
            AddTexts(store(), id, {absl::StrCat(w, ":", i), absl::StrCat("shared ", i)});
        ASSERT_TRUE(added.ok()) << added.status();
        if (i % 3 == 2) {
          ASSERT_TRUE(store().DeleteReference(id, added->references[0].id, {}).ok());
          ASSERT_TRUE(store().DeleteReference(id, added->references[1].id, {}).ok());
        }
      }
      --writing;
    });
  }
  for (int r = 0; r < 2; ++r) {
    threads.emplace_back([&] {
      std::vector<int64_t> last(kWriters, 0);
      while (writing > 0) {
        for (int w = 0; w < kWriters; ++w) {
          const auto revision = store().CurrentRevision(absl::StrCat("p", w));
          ASSERT_TRUE(revision.ok()) << revision.status();
          ASSERT_GE(revision->number, last[w]);
          last[w] = revision->number;
          // Of every 4 revisions of a writer (add, add, add, delete, delete) the count follows.
          const int64_t full = revision->number / 5;
          const int64_t rest = revision->number % 5;
          const int64_t expected = full * 4 + (rest <= 3 ? rest * 2 : 5);
          ASSERT_EQ(static_cast<int64_t>(revision->references.size()), expected)
              << revision->number;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int w = 0; w < kWriters; ++w) {
    const auto revision = store().CurrentRevision(absl::StrCat("p", w));
    EXPECT_THAT(revision->references, SizeIs(kRounds / 3 * 4));
    for (const Reference& reference : revision->references)
      EXPECT_TRUE(store().ReadObject(reference.sha256).ok());
  }
  EXPECT_THAT(StoredObjects(options_.directory),
              SizeIs(kWriters * kRounds * 2 / 3 + kRounds * 2 / 3));
}

}  // namespace
}  // namespace hfwa::store
