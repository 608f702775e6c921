#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hfwa::model {

// Reads the fields of one JSON object and keeps the first error, so that a caller reads all fields
// in a row and asks once. Not thread-safe.
class JsonFields {
 public:
  // `object` may be null: then every field is absent. `path` precedes field names in messages
  // ("vision.").
  JsonFields(const nlohmann::json* object, std::string path);

  // Absent fields give `fallback`; without one they are an error.
  int64_t Int(const char* key, int64_t low, int64_t high, std::optional<int64_t> fallback = {});
  // In [low, high].
  double Number(const char* key, double low, double high, std::optional<double> fallback = {});
  bool Bool(const char* key, bool fallback);
  std::string Text(const char* key, const std::string& fallback);
  std::vector<int64_t> Ints(const char* key, int64_t low, int64_t high, size_t count_max);
  std::vector<std::string> Texts(const char* key, std::vector<std::string> fallback,
                                 size_t count_max);
  // The object of this name, or null.
  const nlohmann::json* Object(const char* key);
  bool Has(const char* key) const { return Find(key) != nullptr; }
  // Present with the value null.
  bool IsNull(const char* key);

  void Fail(const std::string& what);
  void Fail(const char* key, const std::string& what);
  // The first error; else an error if the object has a key that was neither read nor is in
  // `ignored`.
  absl::Status Finish(const std::vector<std::string>& ignored = {}) const;
  bool ok() const { return status_.ok(); }

 private:
  const nlohmann::json* Find(const char* key) const;
  // As Find, and notes that the key is known. Null counts as absent.
  const nlohmann::json* Take(const char* key);

  const nlohmann::json* object_;
  std::string path_;
  std::vector<std::string> known_;
  absl::Status status_;
};

// Parses a JSON object without exceptions; INVALID_ARGUMENT.
absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text);

}  // namespace hfwa::model
