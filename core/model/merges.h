#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace hfwa::model {

// The contents of a tokenizer's merge list, plain or packed by gzip (told by the first bytes, not
// by the name). At most 64 MB unpacked, so that a small packed file cannot fill the memory.
// NOT_FOUND or INVALID_ARGUMENT name the file.
absl::StatusOr<std::string> ReadMerges(const std::string& path);

}  // namespace hfwa::model
