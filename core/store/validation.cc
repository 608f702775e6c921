#include "core/store/validation.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/base/strings.h"
#include "core/store/objects.h"

namespace hfwa::store {
namespace {

bool IsProductId(const std::string& id) {
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  return !id.empty() && id.size() <= 63 && lower(id[0]) &&
         std::all_of(id.begin(), id.end(),
                     [&](char c) { return lower(c) || (c >= '0' && c <= '9') || c == '-'; });
}

}  // namespace

absl::Status CheckProduct(const Product& product) {
  if (!IsProductId(product.id))
    return absl::InvalidArgumentError("product id must match [a-z][a-z0-9-]{0,62}");
  bool utf8 = IsValidUtf8(product.display_name) && IsValidUtf8(product.class_name);
  for (const auto& [key, value] : product.labels)
    utf8 = utf8 && IsValidUtf8(key) && IsValidUtf8(value);
  if (!utf8) return absl::InvalidArgumentError("names and labels must be UTF-8");
  if (product.threshold.has_value() && !std::isfinite(*product.threshold)) {
    return absl::InvalidArgumentError("threshold must be finite");
  }
  if (!(product.coreset_ratio > 0 && product.coreset_ratio <= 1)) {
    return absl::InvalidArgumentError("coreset ratio must be more than 0 and at most 1");
  }
  return absl::OkStatus();
}

absl::Status CheckReference(const Reference& reference) {
  if (!IsSha256(reference.sha256))
    return absl::InvalidArgumentError("sha256 must be 64 hexadecimal digits");
  if (!IsValidUtf8(reference.source_name) || !IsValidUtf8(reference.media_type)) {
    return absl::InvalidArgumentError("source name and media type must be UTF-8");
  }
  return absl::OkStatus();
}

}  // namespace hfwa::store
