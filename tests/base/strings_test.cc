#include "core/base/strings.h"

#include <gtest/gtest.h>

namespace hfwa {
namespace {

TEST(StringsTest, utf8_is_checked_to_the_letter) {
  EXPECT_TRUE(IsValidUtf8(""));
  EXPECT_TRUE(IsValidUtf8("K\xC3\xBChlk\xC3\xB6rper \xE2\x82\xAC \xF0\x9F\x94\xA9"));
  EXPECT_FALSE(IsValidUtf8("\xC3"));              // cut
  EXPECT_FALSE(IsValidUtf8("\xC0\xAF"));          // overlong
  EXPECT_FALSE(IsValidUtf8("\xED\xA0\x80"));      // surrogate
  EXPECT_FALSE(IsValidUtf8("\xF4\x90\x80\x80"));  // beyond U+10FFFF
  EXPECT_FALSE(IsValidUtf8("\x80"));
}

TEST(StringsTest, control_characters_are_found) {
  EXPECT_FALSE(HasControlCharacter("station 7"));
  EXPECT_TRUE(HasControlCharacter("a\nb"));
  EXPECT_TRUE(HasControlCharacter("a\x1B[31m"));
  EXPECT_TRUE(HasControlCharacter("a\x7F"));
  EXPECT_TRUE(HasControlCharacter("a\xC2\x85"));  // U+0085, a C1 control
}

TEST(StringsTest, hex) { EXPECT_EQ(ToHex(std::string_view("\x00\xFFz", 3)), "00ff7a"); }

}  // namespace
}  // namespace hfwa
