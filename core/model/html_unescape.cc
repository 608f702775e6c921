// UnescapeHtml of unicode.h.

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include "core/model/unicode.h"

namespace hfwa::model {
namespace {

struct Entity {
  std::string_view name;  // with its semicolon where it has one
  char32_t codes[2];      // the second is 0 where there is one
};
struct Replacement {
  char32_t from, to;
};
struct CodeRange {
  char32_t first, last;
};
#include "core/model/html_entities.inc"

constexpr size_t kMaxNameLength = 32;
constexpr char32_t kReplacementCharacter = 0xFFFD;
constexpr char32_t kMaxCode = 0x10FFFF;

const Entity* FindEntity(std::string_view name) {
  const Entity* found =
      std::lower_bound(std::begin(kEntities), std::end(kEntities), name,
                       [](const Entity& entity, std::string_view n) { return entity.name < n; });
  return found != std::end(kEntities) && found->name == name ? found : nullptr;
}

void Append(const Entity& entity, std::u32string& out) {
  out.push_back(entity.codes[0]);
  if (entity.codes[1] != 0) out.push_back(entity.codes[1]);
}

void AppendNumeric(char32_t code, std::u32string& out) {
  for (const Replacement& replaced : kReplaced) {
    if (replaced.from == code) {
      out.push_back(replaced.to);
      return;
    }
  }
  if ((code >= 0xD800 && code <= 0xDFFF) || code > kMaxCode) {
    out.push_back(kReplacementCharacter);
    return;
  }
  for (const CodeRange& dropped : kDropped) {
    if (code >= dropped.first && code <= dropped.last) return;
  }
  out.push_back(code);
}

int DigitOf(char32_t code, int base) {
  if (code >= '0' && code <= '9') return static_cast<int>(code - '0');
  const char32_t lower = code | 0x20;
  if (base == 16 && lower >= 'a' && lower <= 'f' && code < 0x80)
    return static_cast<int>(lower - 'a') + 10;
  return -1;
}

// `text` starts after "&". Both return how much of it they used, 0 for "not a reference".
size_t UnescapeNumeric(std::u32string_view text, std::u32string& out) {
  size_t at = 1;
  int base = 10;
  if (at < text.size() && (text[at] == 'x' || text[at] == 'X')) {
    base = 16;
    ++at;
  }
  const size_t digits = at;
  uint64_t code = 0;
  for (; at < text.size() && DigitOf(text[at], base) >= 0; ++at) {
    code = std::min<uint64_t>(
        code * static_cast<uint64_t>(base) + static_cast<uint64_t>(DigitOf(text[at], base)),
        kMaxCode + 1);
  }
  if (at == digits) return 0;
  if (at < text.size() && text[at] == ';') ++at;
  AppendNumeric(static_cast<char32_t>(code), out);
  return at;
}

bool EndsName(char32_t code) {
  return code == '\t' || code == '\n' || code == '\f' || code == ' ' || code == '<' ||
         code == '&' || code == '#' || code == ';';
}

size_t UnescapeNamed(std::u32string_view text, std::u32string& out) {
  size_t length = 0;
  std::string name;  // up to the first letter outside ASCII: no entity has one
  bool ascii = true;
  while (length < text.size() && length < kMaxNameLength && !EndsName(text[length])) {
    ascii = ascii && text[length] < 0x80;
    if (ascii) name.push_back(static_cast<char>(text[length]));
    ++length;
  }
  if (length == 0) return 0;
  if (ascii && length < text.size() && text[length] == ';') {
    if (const Entity* entity = FindEntity(name + ";")) {
      Append(*entity, out);
      return length + 1;
    }
  }
  // The longest name at the start counts, of two letters or more unless the whole is one.
  for (size_t used = name.size(); used >= 1; --used) {
    if (used < 2 && used != length) break;
    if (const Entity* entity = FindEntity(std::string_view(name).substr(0, used))) {
      Append(*entity, out);
      return used;
    }
  }
  return 0;
}

}  // namespace

std::u32string UnescapeHtml(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    if (text[i] != '&') {
      out.push_back(text[i++]);
      continue;
    }
    const std::u32string_view rest = text.substr(i + 1);
    const size_t used = rest.empty()     ? 0
                        : rest[0] == '#' ? UnescapeNumeric(rest, out)
                                         : UnescapeNamed(rest, out);
    if (used == 0) out.push_back('&');
    i += 1 + used;
  }
  return out;
}

}  // namespace hfwa::model
