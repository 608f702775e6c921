#include "core/model/tokenizer.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <queue>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/model/unicode.h"

namespace hfwa::model {
namespace {

constexpr size_t kMaxTextBytes = 64 << 10;
constexpr int kBytes = 256;
constexpr int kSpecials = 2;
constexpr char kWordEnd[] = "</w>";
constexpr std::u32string_view kStart = U"<|startoftext|>";
constexpr std::u32string_view kEnd = U"<|endoftext|>";
constexpr std::u32string_view kContractions[] = {U"'s", U"'t",  U"'re", U"'ve",
                                                 U"'m", U"'ll", U"'d"};

// Bytes in the order of their ids, and the character that stands for each in the merge list:
// printable ones for themselves, the others from U+0100 on.
struct ByteCharacter {
  int byte;
  char32_t character;
};
std::vector<ByteCharacter> ByteCharacters() {
  const auto printable = [](int b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  };
  std::vector<ByteCharacter> characters;
  for (int b = 0; b < kBytes; ++b) {
    if (printable(b)) characters.push_back({b, static_cast<char32_t>(b)});
  }
  char32_t next = 256;
  for (int b = 0; b < kBytes; ++b) {
    if (!printable(b)) characters.push_back({b, next++});
  }
  return characters;
}

uint64_t PairKey(int first, int second) {
  return static_cast<uint64_t>(static_cast<uint32_t>(first)) << 32 | static_cast<uint32_t>(second);
}

// The two symbols of a line of the list, apart by blanks.
std::optional<std::pair<std::string, std::string>> SplitMerge(std::string_view line) {
  constexpr std::string_view kBlanks = " \t\r";
  const size_t first = line.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return std::nullopt;
  const size_t first_end = line.find_first_of(kBlanks, first);
  if (first_end == std::string_view::npos) return std::nullopt;
  const size_t second = line.find_first_not_of(kBlanks, first_end);
  if (second == std::string_view::npos) return std::nullopt;
  const size_t second_end = std::min(line.find_first_of(kBlanks, second), line.size());
  if (line.find_first_not_of(kBlanks, second_end) != std::string_view::npos) return std::nullopt;
  return std::pair(std::string(line.substr(first, first_end - first)),
                   std::string(line.substr(second, second_end - second)));
}

// Unescape, strip, one space for each run of whitespace, lower case.
std::u32string Clean(std::string_view text) {
  const std::u32string raw = UnescapeHtml(UnescapeHtml(DecodeUtf8(text)));
  std::u32string_view rest = raw;
  while (!rest.empty() && IsStripped(rest.front())) rest.remove_prefix(1);
  while (!rest.empty() && IsStripped(rest.back())) rest.remove_suffix(1);
  std::u32string clean;
  for (const char32_t code : rest) {
    if (!IsSpace(code)) {
      clean.push_back(code);
    } else if (clean.empty() || clean.back() != U' ') {
      clean.push_back(U' ');
    }
  }
  // Nothing is left to strip: what the first strip removed includes every space.
  return ToLower(clean);
}

// `pattern` at the start of `text`; the long s matches an s, since the pattern ignores case.
bool StartsWith(std::u32string_view text, std::u32string_view pattern) {
  constexpr char32_t kLongS = 0x17F;
  if (text.size() < pattern.size()) return false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (text[i] != pattern[i] && !(text[i] == kLongS && pattern[i] == U's')) return false;
  }
  return true;
}

bool IsOther(char32_t code) { return !IsSpace(code) && !IsLetter(code) && !IsNumber(code); }

// Length of the piece at the start of `text`, which does not start with a space.
size_t PieceLength(std::u32string_view text) {
  for (const std::u32string_view special : {kStart, kEnd}) {
    if (StartsWith(text, special)) return special.size();
  }
  for (const std::u32string_view contraction : kContractions) {
    if (StartsWith(text, contraction)) return contraction.size();
  }
  if (IsNumber(text[0])) return 1;
  bool (*const same)(char32_t) = IsLetter(text[0]) ? IsLetter : IsOther;
  size_t length = 1;
  while (length < text.size() && same(text[length])) ++length;
  return length;
}

// The symbols of one word while pairs are merged: a linked list, and the pairs that the table knows
// by rank. Costs n log n where a scan for each merge would cost n * n.
class Word {
 public:
  explicit Word(std::vector<int> ids)
      : ids_(std::move(ids)), previous_(ids_.size()), next_(ids_.size()) {
    for (size_t i = 0; i < ids_.size(); ++i) {
      previous_[i] = static_cast<int>(i) - 1;
      next_[i] = i + 1 < ids_.size() ? static_cast<int>(i) + 1 : kNone;
    }
  }

  // `find` gives the merge of two ids, or null.
  template <typename Find>
  void MergeAll(const Find& find) {
    for (int at = 0; at != kNone && next_[Index(at)] != kNone; at = next_[Index(at)])
      Offer(at, find);
    while (!pairs_.empty()) {
      // All pairs of one rank from left to right; what they make counts only afterwards.
      const int rank = pairs_.top().rank;
      std::vector<int> changed;
      while (!pairs_.empty() && pairs_.top().rank == rank) {
        const Pair pair = pairs_.top();
        pairs_.pop();
        if (Apply(pair)) changed.push_back(pair.at);
      }
      for (const int at : changed) {
        if (ids_[Index(at)] == kNone) continue;
        if (previous_[Index(at)] != kNone) Offer(previous_[Index(at)], find);
        if (next_[Index(at)] != kNone) Offer(at, find);
      }
    }
  }

  void AppendTo(std::vector<int64_t>& out) const {
    for (int at = 0; at != kNone; at = next_[Index(at)]) out.push_back(ids_[Index(at)]);
  }

 private:
  static constexpr int kNone = -1;
  struct Pair {
    int rank, at, first, second, merged;
    bool operator<(
        const Pair& other) const {  // the queue's top is the lowest rank, then the leftmost
      return std::tie(rank, at) > std::tie(other.rank, other.at);
    }
  };

  static size_t Index(int at) { return static_cast<size_t>(at); }

  template <typename Find>
  void Offer(int at, const Find& find) {
    const int first = ids_[Index(at)], second = ids_[Index(next_[Index(at)])];
    if (const auto* merge = find(first, second))
      pairs_.push({merge->rank, at, first, second, merge->merged});
  }

  // False where one of the two symbols has been merged away since.
  bool Apply(const Pair& pair) {
    if (ids_[Index(pair.at)] != pair.first) return false;
    const int second = next_[Index(pair.at)];
    if (second == kNone || ids_[Index(second)] != pair.second) return false;
    ids_[Index(pair.at)] = pair.merged;
    ids_[Index(second)] = kNone;
    const int after = next_[Index(second)];
    next_[Index(pair.at)] = after;
    if (after != kNone) previous_[Index(after)] = pair.at;
    return true;
  }

  std::vector<int> ids_;
  std::vector<int> previous_, next_;
  std::priority_queue<Pair> pairs_;
};

}  // namespace

absl::StatusOr<Tokenizer> Tokenizer::Create(std::string_view merges, int vocab_size) {
  const int count = vocab_size - 2 * kBytes - kSpecials;
  if (count < 0) {
    return absl::InvalidArgumentError(absl::StrCat("a vocabulary of ", vocab_size,
                                                   " is too small: bytes and "
                                                   "special tokens alone are ",
                                                   2 * kBytes + kSpecials));
  }
  Tokenizer tokenizer;
  tokenizer.start_id_ = vocab_size - kSpecials;
  HFWA_RETURN_IF_ERROR(tokenizer.ReadMerges(merges, count));
  return tokenizer;
}

absl::Status Tokenizer::ReadMerges(std::string_view merges, int count) {
  // A string that occurs twice has its last id, a pair that occurs twice its last rank, as in the
  // reference.
  std::unordered_map<std::string, int> ids;
  int id = 0;
  const std::vector<ByteCharacter> characters = ByteCharacters();
  for (const ByteCharacter& c : characters) {
    byte_ids_[static_cast<size_t>(c.byte)] = id;
    ids[EncodeUtf8({&c.character, 1})] = id++;
  }
  for (const ByteCharacter& c : characters) ids[EncodeUtf8({&c.character, 1}) + kWordEnd] = id++;

  std::vector<std::pair<std::string, std::string>> pairs;
  size_t at = merges.find('\n');
  for (int line = 0; line < count; ++line) {
    if (at == std::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("the merge list has ", line, " lines where the vocabulary needs ", count));
    }
    const size_t end = std::min(merges.find('\n', at + 1), merges.size());
    auto pair = SplitMerge(merges.substr(at + 1, end - at - 1));
    if (!pair) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", line + 2, " of the merge list is not two symbols"));
    }
    at = end < merges.size() ? end : std::string_view::npos;
    ids[pair->first + pair->second] = id++;
    pairs.push_back(*std::move(pair));
  }
  for (int rank = 0; rank < count; ++rank) {
    const auto& [first, second] = pairs[static_cast<size_t>(rank)];
    const auto first_id = ids.find(first), second_id = ids.find(second);
    if (first_id == ids.end() || second_id == ids.end())
      continue;  // no word ever holds such a symbol
    merges_[PairKey(first_id->second, second_id->second)] = {rank, ids[first + second]};
  }
  return absl::OkStatus();
}

void Tokenizer::EncodePiece(std::u32string_view piece, std::vector<int64_t>& ids) const {
  if (piece == kStart || piece == kEnd) {
    ids.push_back(piece == kStart ? start_id() : end_id());
    return;
  }
  std::vector<int> symbols;
  for (const char byte : EncodeUtf8(piece))
    symbols.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
  symbols.back() += kBytes;  // the same byte at a word's end
  Word word(std::move(symbols));
  word.MergeAll([this](int first, int second) -> const Merge* {
    const auto found = merges_.find(PairKey(first, second));
    return found == merges_.end() ? nullptr : &found->second;
  });
  word.AppendTo(ids);
}

absl::StatusOr<std::vector<int64_t>> Tokenizer::Encode(std::string_view text) const {
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a text of ", text.size(), " bytes is longer than ", kMaxTextBytes));
  }
  if (!IsValidUtf8(text)) return absl::InvalidArgumentError("the text is not UTF-8");
  const std::u32string clean = Clean(text);
  std::vector<int64_t> ids;
  for (std::u32string_view rest = clean; !rest.empty();) {
    if (IsSpace(rest.front())) {
      rest.remove_prefix(1);
      continue;
    }
    const size_t length = PieceLength(rest);
    EncodePiece(rest.substr(0, length), ids);
    rest.remove_prefix(length);
  }
  return ids;
}

absl::StatusOr<std::vector<int64_t>> Tokenizer::EncodeRow(std::string_view text, int context_length,
                                                          bool truncate) const {
  if (context_length < kSpecials) {
    return absl::InvalidArgumentError(
        absl::StrCat("a context of ", context_length, " has no room"));
  }
  HFWA_ASSIGN_OR_RETURN(const std::vector<int64_t> ids, Encode(text));
  const auto length = static_cast<size_t>(context_length);
  if (ids.size() + kSpecials > length && !truncate) {
    return absl::InvalidArgumentError(absl::StrCat("\"", std::string(text.substr(0, 200)),
                                                   "\" has ", ids.size() + kSpecials,
                                                   " tokens, more than ", length));
  }
  std::vector<int64_t> row(length, 0);
  const size_t kept = std::min(ids.size(), length - kSpecials);
  row[0] = start_id();
  std::copy_n(ids.begin(), kept, row.begin() + 1);
  row[kept + 1] = end_id();
  return row;
}

}  // namespace hfwa::model
