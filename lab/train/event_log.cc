#include "lab/train/event_log.h"

#include <unistd.h>

#include <array>
#include <bit>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/strings.h"

namespace hfwa::lab::train {
namespace {

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table = {};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1U) * 0x82F63B78U);
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = MakeTable();

// TFRecord stores checksums so that a record of checksums does not look like one.
uint32_t Masked(std::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return std::rotr(crc, 15) + 0xa282ead8U;
}

template <typename T>
std::string LittleEndian(T value) {
  static_assert(std::endian::native == std::endian::little);
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

// Protobuf's wire format: a key of field number and type, then the value.
enum class Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void AddVarint(uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}
void AddKey(int field, Wire wire, std::string& out) {
  AddVarint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(wire), out);
}
void AddBytes(int field, std::string_view bytes, std::string& out) {
  AddKey(field, Wire::kBytes, out);
  AddVarint(bytes.size(), out);
  out.append(bytes);
}

// Event: wall_time = 1, step = 2, file_version = 3, summary = 5.
std::string StartEvent() {
  std::string event;
  AddKey(1, Wire::kFixed64, event);
  event += LittleEndian(absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()));
  return event;
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  uint32_t crc = ~0U;
  for (const char byte : bytes)
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(byte)) & 0xFF];
  return ~crc;
}

absl::Status EventLog::Open(const std::string& directory) {
  const std::string path = absl::StrFormat("%s/events.out.tfevents.%010d.hfwa.%d", directory,
                                           absl::ToUnixSeconds(absl::Now()), ::getpid());
  out_.open(path, std::ios::binary | std::ios::app);
  if (!out_) return absl::UnavailableError(absl::StrCat(path, ": cannot be written"));
  std::string event = StartEvent();
  AddBytes(3, "brain.Event:2", event);
  Write(event);
  Flush();
  return absl::OkStatus();
}

void EventLog::Scalar(std::string_view tag, int64_t step, double value) {
  std::string item;  // Summary.Value: tag = 1, simple_value = 2
  AddBytes(1, tag, item);
  AddKey(2, Wire::kFixed32, item);
  item += LittleEndian(static_cast<float>(value));
  std::string summary;
  AddBytes(1, item, summary);
  std::string event = StartEvent();
  AddKey(2, Wire::kVarint, event);
  AddVarint(static_cast<uint64_t>(step), event);
  AddBytes(5, summary, event);
  Write(event);
}

void EventLog::Write(const std::string& event) {
  const std::string length = LittleEndian(static_cast<uint64_t>(event.size()));
  out_ << length << LittleEndian(Masked(length)) << event << LittleEndian(Masked(event));
}

}  // namespace hfwa::lab::train
