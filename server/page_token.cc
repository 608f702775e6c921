#include "server/page_token.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/strings.h"
#include "server/errors.h"

namespace hfwa::server {
namespace {

constexpr size_t kSealSize = 16;
constexpr size_t kTokenMax = 512;

// Tells tokens of another list, or made up, from ours. No secret: a token grants nothing.
std::string Seal(std::string_view list, std::string_view after_id) {
  return Sha256Hex(absl::StrCat("page ", ToAbsl(list), "\n", ToAbsl(after_id)))
      .substr(0, kSealSize);
}

}  // namespace

std::string MakePageToken(std::string_view list, std::string_view after_id) {
  return absl::WebSafeBase64Escape(absl::StrCat(Seal(list, after_id), ToAbsl(after_id)));
}

absl::StatusOr<std::string> ReadPageToken(std::string_view list, std::string_view token) {
  if (token.empty()) return std::string();
  std::string plain;
  if (token.size() <= kTokenMax && absl::WebSafeBase64Unescape(ToAbsl(token), &plain) &&
      plain.size() > kSealSize) {
    std::string after_id = plain.substr(kSealSize);
    if (plain.substr(0, kSealSize) == Seal(list, after_id)) return after_id;
  }
  return InvalidFields({{"page_token", "is not a token of this list"}}, reason::kPageTokenInvalid);
}

}  // namespace hfwa::server
