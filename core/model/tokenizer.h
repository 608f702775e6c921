#pragma once

// CLIP's byte-level BPE (training spec 6), without ftfy: no repair of mojibake, no NFC. Text in
// ASCII never needs it.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"

namespace hfwa::model {

// Immutable, so usable by several threads.
class Tokenizer {
 public:
  // `merges`: the list's contents, one line of heading and then two symbols a line, of which the
  // first vocab_size - 514 lines count (256 bytes, the same at a word's end, two special tokens).
  // INVALID_ARGUMENT names the line that is not two symbols, or says how many are too few.
  static absl::StatusOr<Tokenizer> Create(std::string_view merges, int vocab_size);

  // Ids without start and end. INVALID_ARGUMENT when the text is not UTF-8 or longer than 64 KiB.
  absl::StatusOr<std::vector<int64_t>> Encode(std::string_view text) const;

  // Start, ids, end, and zeros up to `context_length`. A text that does not fit is
  // INVALID_ARGUMENT, or with `truncate` cut so that the end token is the last.
  absl::StatusOr<std::vector<int64_t>> EncodeRow(std::string_view text, int context_length,
                                                 bool truncate = false) const;

  int64_t start_id() const { return start_id_; }
  int64_t end_id() const { return start_id_ + 1; }
  int64_t vocab_size() const { return start_id_ + 2; }

 private:
  struct Merge {
    int rank;
    int merged;
  };

  Tokenizer() = default;
  absl::Status ReadMerges(std::string_view merges, int count);
  // Appends the ids of one piece, which is a special token or a run of bytes.
  void EncodePiece(std::u32string_view piece, std::vector<int64_t>& ids) const;

  int64_t start_id_ = 0;
  std::array<int, 256> byte_ids_ = {};          // id of a byte inside a word
  std::unordered_map<uint64_t, Merge> merges_;  // by the pair of ids
};

}  // namespace hfwa::model
