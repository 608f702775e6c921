#pragma once

// The first directory of a TIFF structure, as in TIFF files and EXIF blocks. Internal to
// core/image.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/image/codec.h"

namespace hfwa::image::internal {

class TiffDirectory {
 public:
  // Nothing if `bytes` does not start with a TIFF (or BigTIFF) header and a directory within it.
  // Entries after the 4096th are not seen.
  static std::optional<TiffDirectory> Parse(std::string_view bytes);

  bool Has(uint32_t tag) const { return Find(tag) != nullptr; }
  // How many values the tag says it has; 0 if it is absent.
  uint64_t Count(uint32_t tag) const;
  // The value at `index` of a BYTE, SHORT, LONG or LONG8 tag; nothing if absent, of another type or
  // outside the file.
  std::optional<uint64_t> Value(uint32_t tag, uint64_t index = 0) const;

 private:
  struct Entry {
    uint32_t tag;
    uint32_t type;
    uint64_t count;
    uint64_t inline_at;  // where the value or its offset is stored
  };

  TiffDirectory(Bytes bytes, bool big_endian, bool big)
      : bytes_(bytes), big_endian_(big_endian), big_(big) {}

  const Entry* Find(uint32_t tag) const;
  uint64_t Read(uint64_t at, int width) const;

  Bytes bytes_;
  bool big_endian_;
  bool big_;  // BigTIFF: 64-bit offsets
  std::vector<Entry> entries_;
};

}  // namespace hfwa::image::internal
