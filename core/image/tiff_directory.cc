#include "core/image/tiff_directory.h"

#include <algorithm>

namespace hfwa::image::internal {
namespace {

constexpr uint64_t kEntriesMax = 4096;
constexpr uint32_t kOrientation = 274;

// Bytes of one value, 0 for types that no reader here needs.
int TypeSize(uint32_t type) {
  switch (type) {
    case 1:
      return 1;  // BYTE
    case 3:
      return 2;  // SHORT
    case 4:
    case 13:
      return 4;  // LONG, IFD
    case 16:
      return 8;  // LONG8
    default:
      return 0;
  }
}

}  // namespace

uint64_t TiffDirectory::Read(uint64_t at, int width) const {
  uint64_t value = 0;
  for (int i = 0; i < width; ++i) {
    const int from = big_endian_ ? i : width - 1 - i;
    value = value << 8 | bytes_.U8(at + static_cast<uint64_t>(from));
  }
  return value;
}

std::optional<TiffDirectory> TiffDirectory::Parse(std::string_view data) {
  const Bytes bytes(data);
  const bool big_endian = data.substr(0, 2) == "MM";
  if (!big_endian && data.substr(0, 2) != "II") return std::nullopt;
  TiffDirectory directory(bytes, big_endian, false);
  const uint64_t version = directory.Read(2, 2);
  if (version != 42 && version != 43) return std::nullopt;
  directory.big_ = version == 43;
  const int offset_size = directory.big_ ? 8 : 4;
  if (directory.big_ && directory.Read(4, 2) != 8) return std::nullopt;
  uint64_t at = directory.Read(directory.big_ ? 8 : 4, offset_size);
  const int count_size = directory.big_ ? 8 : 2;
  if (!bytes.Has(at, static_cast<uint64_t>(count_size))) return std::nullopt;
  const uint64_t count = std::min(directory.Read(at, count_size), kEntriesMax);
  at += static_cast<uint64_t>(count_size);
  const uint64_t entry_size = directory.big_ ? 20 : 12;
  for (uint64_t i = 0; i < count && bytes.Has(at, entry_size); ++i, at += entry_size) {
    directory.entries_.push_back({.tag = static_cast<uint32_t>(directory.Read(at, 2)),
                                  .type = static_cast<uint32_t>(directory.Read(at + 2, 2)),
                                  .count = directory.Read(at + 4, offset_size),
                                  .inline_at = at + 4 + static_cast<uint64_t>(offset_size)});
  }
  return directory;
}

const TiffDirectory::Entry* TiffDirectory::Find(uint32_t tag) const {
  const auto it = std::find_if(entries_.begin(), entries_.end(),
                               [tag](const Entry& entry) { return entry.tag == tag; });
  return it == entries_.end() ? nullptr : &*it;
}

uint64_t TiffDirectory::Count(uint32_t tag) const {
  const Entry* entry = Find(tag);
  return entry == nullptr ? 0 : entry->count;
}

std::optional<uint64_t> TiffDirectory::Value(uint32_t tag, uint64_t index) const {
  const Entry* entry = Find(tag);
  if (entry == nullptr || index >= entry->count) return std::nullopt;
  const int size = TypeSize(entry->type);
  if (size == 0) return std::nullopt;
  const uint64_t width = static_cast<uint64_t>(size);
  const uint64_t inline_values = (big_ ? 8U : 4U) / width;
  const uint64_t base =
      entry->count <= inline_values ? entry->inline_at : Read(entry->inline_at, big_ ? 8 : 4);
  // No file is 2^56 bytes long, so neither product nor sum overflows after this check.
  if (index >= bytes_.size() || !bytes_.Has(base, (index + 1) * width)) return std::nullopt;
  return Read(base + index * width, size);
}

int ExifOrientation(std::string_view exif) {
  constexpr std::string_view kPrefix("Exif\0\0", 6);
  if (exif.substr(0, kPrefix.size()) == kPrefix) exif.remove_prefix(kPrefix.size());
  const std::optional<TiffDirectory> directory = TiffDirectory::Parse(exif);
  if (!directory) return 1;
  const uint64_t value = directory->Value(kOrientation).value_or(1);
  return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

}  // namespace hfwa::image::internal
