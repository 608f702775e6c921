#include "client/uuid.h"

#include <array>
#include <cstdint>
#include <random>

#include "absl/strings/str_cat.h"
#include "core/base/strings.h"

namespace hfwa::client {

std::string NewUuid() {
  // The operating system's randomness: ids of many clients must never meet.
  std::random_device random;
  std::array<uint8_t, 16> bytes;
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  bytes[6] = static_cast<uint8_t>(0x40 | (bytes[6] & 0x0f));
  bytes[8] = static_cast<uint8_t>(0x80 | (bytes[8] & 0x3f));
  const std::string hex = ToHex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                      hex.substr(16, 4), "-", hex.substr(20));
}

}  // namespace hfwa::client
