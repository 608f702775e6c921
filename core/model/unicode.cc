#include "core/model/unicode.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace hfwa::model {
namespace {

struct CodeRange {
  char32_t first, last;
};
struct LowerRange {
  char32_t first, last, step;
  int32_t delta;
};
#include "core/model/unicode_tables.inc"

constexpr char32_t kCapitalSigma = 0x3A3, kSmallSigma = 0x3C3, kFinalSigma = 0x3C2;
constexpr char32_t kCapitalDottedI = 0x130;

// The range that could hold `code`, or end.
template <typename Range, size_t kCount>
const Range* FindRange(const Range (&table)[kCount], char32_t code) {
  const Range* found =
      std::lower_bound(std::begin(table), std::end(table), code,
                       [](const Range& range, char32_t c) { return range.last < c; });
  return found != std::end(table) && found->first <= code ? found : nullptr;
}

// Is the capital sigma at `at` the end of a word? The scans skip what the rule ignores.
bool IsFinalSigma(std::u32string_view text, size_t at) {
  size_t before = at;
  while (before > 0 && FindRange(kCaseIgnorable, text[before - 1]) != nullptr) --before;
  if (before == 0 || FindRange(kCased, text[before - 1]) == nullptr) return false;
  size_t after = at + 1;
  while (after < text.size() && FindRange(kCaseIgnorable, text[after]) != nullptr) ++after;
  return after == text.size() || FindRange(kCased, text[after]) == nullptr;
}

char32_t LowerOf(char32_t code) {
  const LowerRange* range = FindRange(kLower, code);
  if (range == nullptr || (code - range->first) % range->step != 0) return code;
  return static_cast<char32_t>(static_cast<int32_t>(code) + range->delta);
}

}  // namespace

std::u32string DecodeUtf8(std::string_view text) {
  std::u32string codes;
  codes.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    char32_t code = length == 1 ? lead : lead & (0x7FU >> length);
    for (size_t k = 1; k < length && i + k < text.size(); ++k) {
      code = code << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3FU);
    }
    codes.push_back(code);
    i += length;
  }
  return codes;
}

std::string EncodeUtf8(std::u32string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (const char32_t code : text) {
    if (code < 0x80) {
      bytes.push_back(static_cast<char>(code));
      continue;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    const char32_t lead = more == 1 ? 0xC0 : more == 2 ? 0xE0 : 0xF0;
    bytes.push_back(static_cast<char>(lead | code >> (6 * more)));
    for (int k = more - 1; k >= 0; --k) {
      bytes.push_back(static_cast<char>(0x80 | ((code >> (6 * k)) & 0x3F)));
    }
  }
  return bytes;
}

bool IsLetter(char32_t code) { return FindRange(kLetters, code) != nullptr; }

bool IsNumber(char32_t code) { return FindRange(kNumbers, code) != nullptr; }

bool IsSpace(char32_t code) {
  return (code >= 0x9 && code <= 0xD) || code == 0x20 || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}

bool IsStripped(char32_t code) { return IsSpace(code) || (code >= 0x1C && code <= 0x1F); }

std::u32string ToLower(std::u32string_view text) {
  std::u32string lower;
  lower.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == kCapitalSigma) {
      lower.push_back(IsFinalSigma(text, i) ? kFinalSigma : kSmallSigma);
    } else if (text[i] == kCapitalDottedI) {
      lower += U"i\u0307";
    } else {
      lower.push_back(LowerOf(text[i]));
    }
  }
  return lower;
}

}  // namespace hfwa::model
