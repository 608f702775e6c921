#pragma once

#include "absl/status/status.h"
#include "core/store/store.h"

namespace hfwa::store {

// INVALID_ARGUMENT for what the files' format cannot hold: ids, text that is not UTF-8, numbers
// that are not finite. Lengths and characters are the API's matter.
absl::Status CheckProduct(const Product& product);
absl::Status CheckReference(const Reference& reference);

}  // namespace hfwa::store
