#include "core/model/tokenizer.h"

#include <chrono>
#include <fstream>
#include <iterator>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/model/merges.h"
#include "core/model/unicode.h"

namespace hfwa::model {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Ids = std::vector<int64_t>;

const std::string kFixtures = std::string(HFWA_SOURCE_DIR) + "/tests/parity/fixtures/tokenizer/";

const Tokenizer& Clip() {
  static const Tokenizer* const tokenizer = [] {
    const auto merges = ReadMerges(kFixtures + "bpe_simple_vocab_16e6.txt.gz");
    return new Tokenizer(*Tokenizer::Create(*merges, 49408));
  }();
  return *tokenizer;
}

const json& Cases() {
  static const json* const cases = [] {
    std::ifstream in(kFixtures + "cases.json");
    return new json(json::parse(in));
  }();
  return *cases;
}

TEST(Tokenizer, ids_equal_the_reference_s) {
  ASSERT_EQ(Cases()["cases"].size(), 300U);
  for (const json& row : Cases()["cases"]) {
    const std::string text = row["text"];
    const Ids expected = row[row["needs_ftfy"].get<bool>() ? "ids_without_ftfy" : "ids"];
    const auto ids = Clip().Encode(text);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, expected) << row["kind"] << ": " << row["text"];
  }
}

TEST(Tokenizer, rows_equal_the_reference_s) {
  for (const json& row : Cases()["context_rows"]) {
    const auto ids =
        Clip().EncodeRow(row["text"].get<std::string>(), row["context_length"], row["truncate"]);
    if (row.contains("error")) {
      EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument) << row["text"];
    } else {
      ASSERT_TRUE(ids.ok()) << ids.status();
      EXPECT_EQ(*ids, row["row"].get<Ids>()) << row["text"];
    }
  }
}

TEST(Tokenizer, a_special_token_inside_text_is_one_token) {
  EXPECT_THAT(*Clip().Encode("a <|endoftext|> <|STARTOFTEXT|>"), ElementsAre(320, 49407, 49406));
}

TEST(Tokenizer, merges_follow_rank_and_go_from_left_to_right) {
  // The last merge makes a pair whose rank is lower than its own.
  const auto tokenizer = Tokenizer::Create("#version\na b\nab ab</w>\na b</w>\n", 517);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const int64_t a = 'a' - 33;
  EXPECT_THAT(*tokenizer->Encode("ab"), ElementsAre(514));
  EXPECT_THAT(*tokenizer->Encode("aabab"), ElementsAre(a, 513));
  EXPECT_EQ(tokenizer->start_id(), 515);
  EXPECT_EQ(tokenizer->end_id(), 516);
  const auto run = Tokenizer::Create("#version\na a\n", 515);
  EXPECT_THAT(*run->Encode("aaaaaa"), ElementsAre(512, 512, a, a + 256));
}

TEST(Tokenizer, create_names_the_line_when_the_list_is_damaged) {
  const auto message = [](const std::string& merges, int size) {
    const auto tokenizer = Tokenizer::Create(merges, size);
    return tokenizer.ok() ? "accepted" : std::string(tokenizer.status().message());
  };
  EXPECT_THAT(message("#v\na b\nc\n", 516), HasSubstr("line 3"));
  EXPECT_THAT(message("#v\na b c\n", 515), HasSubstr("line 2"));
  EXPECT_THAT(message("#v\na b\n", 517), HasSubstr("not two symbols"));
  EXPECT_THAT(message("#v\na b", 517), HasSubstr("has 1 lines"));
  EXPECT_THAT(message("", 515), HasSubstr("has 0 lines"));
  EXPECT_THAT(message("", 513), HasSubstr("too small"));
  EXPECT_EQ(message("#v\r\na b\r\nsurplus", 515), "accepted");
  EXPECT_EQ(message("", 514), "accepted");
}

TEST(Tokenizer, long_or_broken_text_is_refused) {
  EXPECT_FALSE(Clip().Encode(std::string(65537, 'a')).ok());
  EXPECT_FALSE(Clip().Encode("\xff").ok());
  EXPECT_FALSE(Clip().EncodeRow("a", 1).ok());
  EXPECT_THAT(*Clip().EncodeRow("a b c", 3, true), ElementsAre(49406, 320, 49407));
  EXPECT_THAT(*Clip().EncodeRow("", 2), ElementsAre(49406, 49407));
}

TEST(Tokenizer, the_longest_word_takes_no_time_to_speak_of) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(Clip().Encode(std::string(65536, 'a')).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(Unicode, html_is_unescaped_as_python_does) {
  const auto unescape = [](const char* text) { return EncodeUtf8(UnescapeHtml(DecodeUtf8(text))); };
  struct Case {
    const char* text;
    const char* expected;
  };
  const Case cases[] = {
      {"&lt;&gt&amp;amp;", "<>&amp;"},
      {"&notit;", "\u00acit;"},
      {"&notin;", "\u2209"},
      {"&nGt;", "\u226b\u20d2"},
      {"&#65;&#x42;&#X43", "ABC"},
      {"&#x80;", "\u20ac"},
      {"&#0;&#xD800;&#1114112;&#99999999999999999999;", "\ufffd\ufffd\ufffd\ufffd"},
      {"&#11;&#xfdd0;", ""},
      {"&#13;", "\r"},
      {"&;&&#;&#x;& a", "&;&&#;&#x;& a"},
      {"&unknown;", "&unknown;"},
      {"&ampx\u00e9;", "&x\u00e9;"},
      {"&", "&"},
      {"&#", "&#"},
  };
  for (const Case& c : cases) EXPECT_EQ(unescape(c.text), c.expected) << c.text;
}

TEST(Unicode, lower_case_follows_the_full_mapping) {
  const auto lower = [](const char* text) { return EncodeUtf8(ToLower(DecodeUtf8(text))); };
  EXPECT_EQ(lower("\u0130"), "i\u0307");
  EXPECT_EQ(lower("\u03a3\u0391\u03a3"), "\u03c3\u03b1\u03c2");
  EXPECT_EQ(lower("\u0391\u03a3\u0301 \u03a3"), "\u03b1\u03c2\u0301 \u03c3");
  EXPECT_EQ(lower("\u0391\u03a3.\u0391"), "\u03b1\u03c3.\u03b1");
  EXPECT_EQ(lower("\u0100\u0101\u1e9e\U00010400"), "\u0101\u0101\u00df\U00010428");
}

}  // namespace
}  // namespace hfwa::model
