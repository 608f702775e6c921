#include "lab/data/data_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lab/data/load.h"
#include "lab/data/references.h"
#include "tests/lab/scratch.h"

namespace hfwa::lab {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<std::string> Images(const std::vector<Item>& items) {
  std::vector<std::string> names;
  names.reserve(items.size());
  for (const Item& item : items) names.push_back(item.image);
  return names;
}

std::vector<std::string> Problems(const DataSet& set) {
  std::vector<std::string> texts;
  for (const Problem& problem : set.problems) texts.push_back(ToString(problem));
  return texts;
}

std::string ItemJson(const std::string& image, const std::string& mask, int anomaly,
                     const std::string& kind = "") {
  return absl::StrCat(R"({"img_path": ")", image, R"(", "mask_path": ")", mask,
                      R"(", "cls_name": "x", "specie_name": ")", kind, R"(", "anomaly": )", anomaly,
                      R"(, "more": [1]})");
}

// A set of one class, "bolt", with these test items and one image to train with.
void WriteMeta(const Scratch& folder, const std::vector<std::string>& tests) {
  folder.Write("train.png", "x");
  folder.Write("meta.json",
               absl::StrCat(R"({"train": {"bolt": [)", ItemJson("train.png", "", 0),
                            R"(]}, "test": {"bolt": [)", absl::StrJoin(tests, ","), "]}}"));
}

TEST(MetaJsonTest, keeps_the_order_of_classes_and_items) {
  const Scratch folder;
  for (const char* name : {"b/1.png", "b/0.png", "a/0.png", "b/1_mask.png", "a/t.png"}) {
    folder.Write(name, "x");
  }
  folder.Write(
      "meta.json",
      absl::StrCat(R"({"train": {"a": [)", ItemJson("a/t.png", "", 0), R"(]}, "test": {"b": [)",
                   ItemJson("b/1.png", "b/1_mask.png", 1, "cut"), ",", ItemJson("b/0.png", "", 0),
                   R"(], "a": [)", ItemJson("a/0.png", "", 0), "]}}"));
  const auto set = ReadDataSet(folder.root());
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_THAT(Problems(*set), IsEmpty());
  ASSERT_THAT(set->classes, SizeIs(2));
  EXPECT_EQ(set->classes[0].name, "b");
  EXPECT_THAT(Images(set->classes[0].test), ElementsAre("b/1.png", "b/0.png"));
  EXPECT_EQ(set->classes[0].test[0].mask, "b/1_mask.png");
  EXPECT_EQ(set->classes[0].test[0].kind, "cut");
  EXPECT_TRUE(set->classes[0].test[0].anomalous);
  EXPECT_EQ(set->classes[0].test[1].kind, "good");
  EXPECT_THAT(Images(set->classes[1].train), ElementsAre("a/t.png"));

  folder.Write("meta.json", ToMetaJson(*set));
  const auto again = ReadDataSet(folder.root());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ToMetaJson(*again), ToMetaJson(*set));
}

TEST(MetaJsonTest, never_leaves_the_folder) {
  const Scratch outside;
  outside.Write("secret.png", "x");
  const Scratch folder;
  folder.Write("good.png", "x");
  std::filesystem::create_symlink(outside.path("secret.png"), folder.path("link.png"));
  std::filesystem::create_directory_symlink(outside.root(), folder.path("folder"));
  const std::string up =
      absl::StrCat("../", std::filesystem::path(outside.root()).filename().string(), "/secret.png");
  WriteMeta(folder, {ItemJson("good.png", "", 0), ItemJson(up, "", 0),
                     ItemJson(outside.path("secret.png"), "", 0), ItemJson("link.png", "", 0),
                     ItemJson("folder/secret.png", "", 0), ItemJson("./good.png", "", 0),
                     ItemJson("a\\u0000b", "", 0), ItemJson("a\\u001b[31m.png", "", 0)});
  const auto set = ReadDataSet(folder.root());
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_THAT(Images(set->classes[0].test), ElementsAre("good.png"));
  EXPECT_THAT(set->problems, SizeIs(7));
  EXPECT_THAT(Problems(*set), Contains("link.png: links out of the set's folder (left out)"));
  EXPECT_THAT(Problems(*set), Contains(absl::StrCat(up,
                                                    ": is not a path below the set's folder "
                                                    "(left out)")));
  for (const std::string& text : Problems(*set)) EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(MetaJsonTest, names_every_bad_item_and_keeps_the_rest) {
  const Scratch folder;
  for (const char* name : {"1.png", "2.png", "3.png", "3_mask.png", "4.png"}) {
    folder.Write(name, "x");
  }
  folder.Write("empty.png", "");
  std::filesystem::create_directory(folder.path("folder.png"));
  WriteMeta(folder, {ItemJson("1.png", "gone_mask.png", 1), ItemJson("2.png", "", 1),
                     ItemJson("3.png", "3_mask.png", 1), ItemJson("3.png", "3_mask.png", 1),
                     ItemJson("train.png", "", 0), ItemJson("gone.png", "", 0),
                     ItemJson("empty.png", "", 0), ItemJson("folder.png", "", 0),
                     ItemJson("4.png", "", 2), "7", R"({"anomaly": 1})"});
  const auto set = ReadDataSet(folder.root());
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_THAT(Images(set->classes[0].test), ElementsAre("1.png", "2.png", "3.png"));
  EXPECT_EQ(set->classes[0].test[0].mask, "");
  EXPECT_THAT(Problems(*set),
              ElementsAre("1.png: mask gone_mask.png is missing (its mask is left out)",
                          "3.png: is listed twice (left out)",
                          "train.png: is both to train with and to test with (left out)",
                          "gone.png: is missing (left out)", "empty.png: is empty (left out)",
                          "folder.png: is not a file (left out)",
                          "4.png: anomaly is neither 0 nor 1 (left out)",
                          "test bolt 10: item has no img_path (left out)",
                          "test bolt 11: item has no img_path (left out)",
                          "1.png: shows a defect and has no mask",
                          "2.png: shows a defect and has no mask"));
}

TEST(MetaJsonTest, refuses_what_is_not_of_its_form) {
  const Scratch folder;
  std::string many_keys = "{";
  for (int i = 0; i < 20000; ++i) absl::StrAppend(&many_keys, "\"k", i, "\":0,");
  many_keys += "\"test\":{}}";
  for (const std::string& text :
       {std::string("{"), std::string("[]"), std::string(R"({"test": []})"),
        std::string(R"({"test": {"a": 1}})"), std::string(R"({"test": {}})"),
        std::string(R"({"test": {"a": []}, "train": 4})"), std::string(1 << 20, '['), many_keys}) {
    folder.Write("meta.json", text);
    const auto set = ReadDataSet(folder.root());
    EXPECT_TRUE(absl::IsInvalidArgument(set.status())) << text.substr(0, 40) << set.status();
  }
}

TEST(MvtecFoldersTest, pairs_masks_with_and_without_suffix) {
  const Scratch folder;
  for (const char* name :
       {"b/train/good/1.png", "b/train/good/0.png", "b/test/good/2.png", "b/test/cut/0.png",
        "b/test/cut/1.png", "b/test/cut/notes.txt", "b/ground_truth/cut/0_mask.png",
        "b/ground_truth/cut/1.bmp", "a/train/ok/0.bmp", "a/test/ok/1.bmp", "a/test/ko/0.bmp",
        "a/ground_truth/ko/0.png", "other/readme.png"}) {
    folder.Write(name, "x");
  }
  const auto set = ReadDataSet(folder.root());
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_THAT(Problems(*set), IsEmpty());
  ASSERT_THAT(set->classes, SizeIs(2));
  EXPECT_EQ(set->classes[0].name, "a");
  EXPECT_EQ(set->classes[0].test[0].mask, "a/ground_truth/ko/0.png");
  EXPECT_EQ(set->classes[0].test[1].kind, "good");
  const ItemClass& b = set->classes[1];
  EXPECT_THAT(Images(b.train), ElementsAre("b/train/good/0.png", "b/train/good/1.png"));
  EXPECT_THAT(Images(b.test),
              ElementsAre("b/test/cut/0.png", "b/test/cut/1.png", "b/test/good/2.png"));
  EXPECT_EQ(b.test[0].mask, "b/ground_truth/cut/0_mask.png");
  EXPECT_EQ(b.test[1].mask, "b/ground_truth/cut/1.bmp");

  // One class by itself.
  const auto one = ReadDataSet(folder.path("b"));
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->classes[0].name, "b");
  EXPECT_THAT(Images(one->classes[0].test), Contains("test/cut/0.png"));
}

TEST(GoodFolderTest, splits_the_good_ones_and_calls_the_others_defects) {
  const Scratch folder;
  for (int i = 0; i < 5; ++i) folder.Write(absl::StrCat("good/", i, ".jpg"), "x");
  folder.Write("bad/0.jpg", "x");
  const auto set = ReadDataSet(folder.root());
  ASSERT_TRUE(set.ok()) << set.status();
  const ItemClass& of = set->classes[0];
  EXPECT_THAT(Images(of.train), ElementsAre("good/0.jpg", "good/1.jpg"));
  EXPECT_THAT(Images(of.test), ElementsAre("bad/0.jpg", "good/2.jpg", "good/3.jpg", "good/4.jpg"));
  EXPECT_TRUE(of.test[0].anomalous);
  EXPECT_THAT(Problems(*set), ElementsAre(HasSubstr("has no masks")));
}

TEST(DataSetTest, is_not_found_where_nothing_is) {
  const Scratch folder;
  EXPECT_TRUE(absl::IsNotFound(ReadDataSet(folder.root()).status()));
  EXPECT_TRUE(absl::IsNotFound(ReadDataSet(folder.path("gone")).status()));
}

TEST(LoadTest, refuses_a_mask_of_another_size_and_takes_none_for_nothing) {
  const Scratch folder;
  folder.WriteGrey("good/0.png", 2, 2, {1, 2, 3, 4});
  folder.WriteGrey("good/1.png", 2, 2, {1, 2, 3, 4});
  folder.WriteGrey("mask.png", 2, 2, {0, 0, 0, 1});
  folder.WriteGrey("wide.png", 4, 1, {0, 0, 0, 1});
  folder.Write("text.png", "text");
  const auto set = ReadDataSet(folder.root());
  ASSERT_TRUE(set.ok()) << set.status();
  Item item = set->classes[0].test[0];
  const auto picture = LoadPicture(*set, item);
  ASSERT_TRUE(picture.ok()) << picture.status();
  EXPECT_EQ(picture->rgb[3], 2);

  EXPECT_THAT(ResizeMask(*LoadMask(*set, item, *picture), 2).values, ElementsAre(0, 0, 0, 0));
  item.mask = "mask.png";
  EXPECT_THAT(ResizeMask(*LoadMask(*set, item, *picture), 2).values, ElementsAre(0, 0, 0, 255));
  item.mask = "wide.png";
  EXPECT_THAT(LoadMask(*set, item, *picture).status().message(),
              HasSubstr("mask wide.png is 4x1, the image 2x2"));
  item.mask = "text.png";
  EXPECT_TRUE(absl::IsInvalidArgument(LoadMask(*set, item, *picture).status()));
  item.image = "text.png";
  EXPECT_TRUE(absl::IsInvalidArgument(LoadPicture(*set, item).status()));
}

// Classes of so many normal images to train with.
DataSet SetOf(const std::vector<std::pair<std::string, int>>& classes) {
  DataSet set;
  for (const auto& [name, count] : classes) {
    ItemClass of = {.name = name, .train = {}, .test = {}};
    for (int i = 0; i < count; ++i) {
      of.train.push_back({.image = absl::StrCat(name, i),
                          .mask = "",
                          .class_name = name,
                          .kind = "good",
                          .anomalous = false});
    }
    set.classes.push_back(of);
  }
  return set;
}

// Expected numbers: random.Random(42).sample of CPython, one generator for both classes.
TEST(DrawReferencesTest, draws_as_the_papers_program_does) {
  EXPECT_THAT(DrawReferences(SetOf({{"a", 10}}), 4, 42, Sampling::kPython),
              ElementsAre(ElementsAre(1, 0, 4, 9)));
  EXPECT_THAT(DrawReferences(SetOf({{"a", 209}}), 4, 42, Sampling::kPython),
              ElementsAre(ElementsAre(163, 28, 6, 189)));
  EXPECT_THAT(DrawReferences(SetOf({{"a", 60}}), 1, 2025, Sampling::kPython),
              ElementsAre(ElementsAre(35)));
  const Draw both = DrawReferences(SetOf({{"a", 10}, {"b", 10}}), 4, 42, Sampling::kPython);
  EXPECT_THAT(both[0], ElementsAre(1, 0, 4, 9));
  EXPECT_NE(both[0], both[1]);
}

TEST(DrawReferencesTest, other_classes_and_larger_draws_change_nothing) {
  const auto draw = [](const DataSet& set, int shots) {
    return DrawReferences(set, shots, 7, Sampling::kByClass);
  };
  const Draw four = draw(SetOf({{"a", 50}, {"b", 50}}), 4);
  EXPECT_THAT(four[0], SizeIs(4));
  EXPECT_EQ(draw(SetOf({{"b", 50}}), 4)[0], four[1]);
  EXPECT_NE(four[0], four[1]);
  EXPECT_THAT(draw(SetOf({{"a", 50}}), 2)[0], ElementsAre(four[0][0], four[0][1]));
  EXPECT_NE(DrawReferences(SetOf({{"a", 50}}), 4, 8, Sampling::kByClass)[0], four[0]);
  EXPECT_THAT(draw(SetOf({{"a", 3}}), 4)[0], testing::UnorderedElementsAre(0, 1, 2));
}

TEST(ReferenceListTest, keeps_its_order_and_names_the_bad_line) {
  const Scratch folder;
  const DataSet set = SetOf({{"a", 3}, {"b", 3}});
  folder.Write("list", "# chosen by hand\na2\n\nb1\r\na0\n");
  const auto draw = ReadReferenceList(set, folder.path("list"));
  ASSERT_TRUE(draw.ok()) << draw.status();
  EXPECT_THAT(*draw, ElementsAre(ElementsAre(2, 0), ElementsAre(1)));
  folder.Write("list", "a2\na9\n");
  EXPECT_THAT(ReadReferenceList(set, folder.path("list")).status().message(), HasSubstr("list:2"));
  folder.Write("list", "a2\na2\n");
  EXPECT_FALSE(ReadReferenceList(set, folder.path("list")).ok());
}

}  // namespace
}  // namespace hfwa::lab
