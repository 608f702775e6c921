#include "server/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "server/call.h"

namespace hfwa::server {
namespace {

TEST(Log, hostile_text_stays_one_line_of_valid_json) {
  std::string out;
  Logger log(LogLevel::kInfo, Clock::Real(), [&](std::string_view line) { out += line; });
  const std::vector<std::string> hostile = {"a\nb\r\n{\"ts\":1}",
                                            "\x1b[31mred",
                                            "\"},{\"x\":\"",
                                            std::string("nul\0byte", 8),
                                            "\xff\xfe bad",
                                            "\xe2\x80\xa8sep\xe2\x80\xa9",
                                            "\xc2\x85nel",
                                            "</script>",
                                            "\xed\xa0\x80",
                                            "cut \xe2\x82",
                                            "\x7f",
                                            "ok \xc3\xa9"};
  for (const std::string& text : hostile) {
    out.clear();
    log.Info("request",
             {{"text", text}, {"labels", std::map<std::string, std::string>{{text, text}}}});
    EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1) << out;
    EXPECT_EQ(out.find('\x1b'), std::string::npos);
    const auto json = nlohmann::json::parse(out, nullptr, false);
    ASSERT_FALSE(json.is_discarded()) << out;
    EXPECT_EQ(json["msg"], "request");
    EXPECT_EQ(json["level"], "info");
    EXPECT_TRUE(json["text"].is_string());
  }
  EXPECT_EQ(nlohmann::json::parse(JsonString("a\n\"\\é\t")), "a\n\"\\é\t");
}

TEST(Log, values_keep_their_type) {
  std::string out;
  Logger log(LogLevel::kDebug, Clock::Real(), [&](std::string_view line) { out = line; });
  log.Debug("m", {{"i", int64_t{-3}}, {"d", 0.25}, {"nan", std::nan("")}, {"b", true}});
  const auto json = nlohmann::json::parse(out);
  EXPECT_EQ(json["i"], -3);
  EXPECT_EQ(json["d"], 0.25);
  EXPECT_TRUE(json["nan"].is_null());
  EXPECT_EQ(json["b"], true);
  EXPECT_THAT(json["ts"].get<std::string>(), ::testing::MatchesRegex("....-..-..T..:..:..\\....Z"));
}

TEST(Log, level_is_kept) {
  int lines = 0;
  Logger log(LogLevel::kError, Clock::Real(), [&](std::string_view) { ++lines; });
  log.Info("no");
  log.Warning("no");
  log.Error("yes");
  EXPECT_EQ(lines, 1);
}

TEST(Log, repeated_warnings_are_limited_and_counted) {
  FakeClock clock;
  std::vector<std::string> lines;
  Logger log(LogLevel::kInfo, clock, [&](std::string_view line) { lines.emplace_back(line); });
  for (int i = 0; i < 10; ++i) log.Warning("disk slow");
  log.Warning("another");
  EXPECT_EQ(lines.size(), 2U);
  clock.Advance(absl::Seconds(2));
  log.Warning("disk slow");
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(nlohmann::json::parse(lines[2])["suppressed"], 9);
}

TEST(CallIdentity, request_ids_and_trace_ids_are_checked) {
  EXPECT_TRUE(IsRequestIdText("a-B_1.2:3"));
  EXPECT_FALSE(IsRequestIdText(""));
  EXPECT_FALSE(IsRequestIdText("a b"));
  EXPECT_FALSE(IsRequestIdText(std::string(129, 'a')));
  const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  EXPECT_EQ(TraceIdOf("00-" + trace + "-00f067aa0ba902b7-01"), trace);
  EXPECT_EQ(TraceIdOf("01-" + trace + "-00f067aa0ba902b7-01-more"), trace);
  EXPECT_EQ(TraceIdOf("00-" + trace + "-00f067aa0ba902b7-01-more"), "");
  EXPECT_EQ(TraceIdOf("00-" + std::string(32, '0') + "-00f067aa0ba902b7-01"), "");
  EXPECT_EQ(TraceIdOf("00-" + std::string(32, 'G') + "-00f067aa0ba902b7-01"), "");
  EXPECT_EQ(TraceIdOf("junk"), "");
  EXPECT_THAT(RandomUuid(),
              ::testing::MatchesRegex("[0-9a-f]+-[0-9a-f]+-4[0-9a-f]+-[89ab][0-9a-f]+-[0-9a-f]+"));
}

}  // namespace
}  // namespace hfwa::server
