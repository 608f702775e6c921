#include "core/model/json_fields.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace hfwa::model {

using nlohmann::json;

JsonFields::JsonFields(const json* object, std::string path)
    : object_(object), path_(std::move(path)) {
  if (object_ != nullptr && !object_->is_object()) {
    object_ = nullptr;
    Fail("is not an object");
  }
}

const json* JsonFields::Find(const char* key) const {
  if (object_ == nullptr) return nullptr;
  const auto found = object_->find(key);
  return found == object_->end() ? nullptr : &*found;
}

const json* JsonFields::Take(const char* key) {
  known_.emplace_back(key);
  const json* value = Find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

void JsonFields::Fail(const std::string& what) {
  if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(path_, " ", what));
}

void JsonFields::Fail(const char* key, const std::string& what) {
  if (status_.ok()) {
    status_ =
        absl::InvalidArgumentError(absl::StrCat(path_, path_.empty() ? "" : ".", key, ": ", what));
  }
}

int64_t JsonFields::Int(const char* key, int64_t low, int64_t high,
                        std::optional<int64_t> fallback) {
  const json* value = Take(key);
  if (value == nullptr) {
    if (!fallback) Fail(key, "is absent");
    return fallback.value_or(low);
  }
  // Beyond int64 the library keeps an unsigned number, which is out of every range here.
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() || value->get<uint64_t>() <= INT64_MAX);
  if (!fits || value->get<int64_t>() < low || value->get<int64_t>() > high) {
    Fail(key, absl::StrCat("must be a whole number from ", low, " to ", high));
    return low;
  }
  return value->get<int64_t>();
}

double JsonFields::Number(const char* key, double low, double high,
                          std::optional<double> fallback) {
  const json* value = Take(key);
  if (value == nullptr) {
    if (!fallback) Fail(key, "is absent");
    return fallback.value_or(low);
  }
  const double number = value->is_number() ? value->get<double>() : low - 1;
  if (!(number >= low && number <= high)) {
    Fail(key, absl::StrCat("must be a number from ", low, " to ", high));
    return low;
  }
  return number;
}

bool JsonFields::Bool(const char* key, bool fallback) {
  const json* value = Take(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    Fail(key, "must be true or false");
    return fallback;
  }
  return value->get<bool>();
}

std::string JsonFields::Text(const char* key, const std::string& fallback) {
  const json* value = Take(key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) {
    Fail(key, "must be text");
    return fallback;
  }
  return value->get<std::string>();
}

std::vector<int64_t> JsonFields::Ints(const char* key, int64_t low, int64_t high,
                                      size_t count_max) {
  const json* value = Take(key);
  if (value == nullptr) return {};
  std::vector<int64_t> numbers;
  bool fits = value->is_array() && value->size() <= count_max;
  for (size_t i = 0; fits && i < value->size(); ++i) {
    const json& item = (*value)[i];
    fits = item.is_number_integer() &&
           (!item.is_number_unsigned() || item.get<uint64_t>() <= INT64_MAX) &&
           item.get<int64_t>() >= low && item.get<int64_t>() <= high;
    if (fits) numbers.push_back(item.get<int64_t>());
  }
  if (!fits) {
    Fail(key, absl::StrCat("must be a list of at most ", count_max, " whole numbers from ", low,
                           " to ", high));
  }
  return numbers;
}

std::vector<std::string> JsonFields::Texts(const char* key, std::vector<std::string> fallback,
                                           size_t count_max) {
  const json* value = Take(key);
  if (value == nullptr) return fallback;
  const bool fits =
      value->is_array() && value->size() <= count_max &&
      std::all_of(value->begin(), value->end(), [](const json& item) { return item.is_string(); });
  if (!fits) {
    Fail(key, absl::StrCat("must be a list of at most ", count_max, " texts"));
    return fallback;
  }
  std::vector<std::string> texts;
  for (const json& item : *value) texts.push_back(item.get<std::string>());
  return texts;
}

const json* JsonFields::Object(const char* key) {
  const json* value = Take(key);
  if (value != nullptr && !value->is_object()) {
    Fail(key, "must be an object");
    return nullptr;
  }
  return value;
}

bool JsonFields::IsNull(const char* key) {
  Take(key);
  const json* value = Find(key);
  return value != nullptr && value->is_null();
}

absl::Status JsonFields::Finish(const std::vector<std::string>& ignored) const {
  if (!status_.ok() || object_ == nullptr) return status_;
  for (const auto& [key, value] : object_->items()) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end() &&
        std::find(ignored.begin(), ignored.end(), key) == ignored.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, path_.empty() ? "" : ".", key, ": is not a known field"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<json> ParseJsonObject(std::string_view text) {
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) return absl::InvalidArgumentError("not JSON");
  if (!parsed.is_object()) return absl::InvalidArgumentError("not a JSON object");
  return parsed;
}

}  // namespace hfwa::model
