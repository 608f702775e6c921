#pragma once

// What a mutation answered, as text, so that its repetition answers the same.

#include <string>

#include "absl/status/statusor.h"
#include "core/store/store.h"

namespace hfwa::store {

// All text in them must be UTF-8.
std::string EncodeOutcome(const Product& product);
std::string EncodeOutcome(const Store::Registration& registration);

// DATA_LOSS if `text` is not what EncodeOutcome made.
absl::StatusOr<Product> DecodeProduct(const std::string& text);
absl::StatusOr<Store::Registration> DecodeRegistration(const std::string& text);

}  // namespace hfwa::store
