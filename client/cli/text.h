#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace hfwa::cli {

// `text` with control characters and broken UTF-8 as \xNN, so that no name of a file and no word of
// a server can steer the terminal.
std::string Printable(std::string_view text);

// "NOT_FOUND: no such product", safe to print.
std::string Explain(const absl::Status& status);

// "5" (seconds), "500ms" or "2m": at least `least`, at most a day. INVALID_ARGUMENT says what is
// wrong with `option`.
absl::StatusOr<absl::Duration> ParseTime(const std::string& option, const std::string& text,
                                         absl::Duration least = absl::Nanoseconds(1));

// "ab  " of `width` columns; longer text stays whole. Counts code points.
std::string PadRight(std::string_view text, size_t width);
size_t Columns(std::string_view text);

// A table with a title row and columns as wide as their widest cell. Cells are made printable.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

}  // namespace hfwa::cli
