#pragma once

// Glue between std:: and Debian's Abseil, whose string_view is a type of its own.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/strings/string_view.h"

namespace hfwa {

inline absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view ToStd(absl::string_view s) { return {s.data(), s.size()}; }

// True if `s` is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF).
bool IsValidUtf8(std::string_view s);

// True if `s` holds a C0 or C1 control character or DEL. `s` must be valid UTF-8.
bool HasControlCharacter(std::string_view s);

// Lower-case hexadecimal.
std::string ToHex(std::string_view bytes);

}  // namespace hfwa
