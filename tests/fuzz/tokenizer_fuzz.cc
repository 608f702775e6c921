// The tokenizer on arbitrary text and arbitrary merge lists. The first byte chooses how many merges
// are read.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/base/strings.h"
#include "core/model/tokenizer.h"

namespace {

using hfwa::model::Tokenizer;

constexpr int kBase = 514;  // bytes, bytes at a word's end, special tokens
constexpr int kContext = 16;

void Check(bool promise) {
  if (!promise) std::abort();
}

void CheckText(const Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.Encode(text);
  Check(ids.ok() == hfwa::IsValidUtf8(text));
  if (!ids.ok()) return;
  for (const int64_t id : *ids) Check(id >= 0 && id < tokenizer.vocab_size());
  const auto row = tokenizer.EncodeRow(text, kContext, /*truncate=*/true);
  Check(row.ok() && row->size() == kContext && (*row)[0] == tokenizer.start_id());
  // The end token is the largest id: the text feature is read at its first place.
  Check(*std::max_element(row->begin(), row->end()) == tokenizer.end_id());
  Check(tokenizer.EncodeRow(text, kContext).ok() == (ids->size() + 2 <= kContext));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const int merges = data[0] % 32;
  static const Tokenizer* const known = [] {
    return new Tokenizer(
        *Tokenizer::Create("#\na a\naa aa\na b\nab c</w>\nb c</w>\naa ab\n", kBase + 6));
  }();
  CheckText(*known, rest);
  // The same bytes as a list, and what follows a zero byte as the text.
  const size_t cut = std::min(rest.find('\0'), rest.size());
  const auto tokenizer = Tokenizer::Create(rest.substr(0, cut), kBase + merges);
  if (tokenizer.ok()) CheckText(*tokenizer, rest.substr(cut));
  return 0;
}
