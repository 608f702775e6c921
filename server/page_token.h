#pragma once

// Opaque page tokens, bound to the list they came from.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace hfwa::server {

// `list` names the list with its arguments: "ListReferences products/nut". `after_id` is the last
// id shown.
std::string MakePageToken(std::string_view list, std::string_view after_id);
// The id; empty for the empty token. PAGE_TOKEN_INVALID if the token is not one of this list.
absl::StatusOr<std::string> ReadPageToken(std::string_view list, std::string_view token);

}  // namespace hfwa::server
