#include <array>
#include <filesystem>
#include <system_error>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "core/base/file_system.h"
#include "core/base/status_macros.h"
#include "lab/data/layouts.h"

namespace hfwa::lab::internal {
namespace {

// The order of classes is that of the file.
using Json = nlohmann::ordered_json;
using Split = SetBuilder::Split;

// Two hundred thousand items; DAGM, the largest set seen, has eight thousand.
constexpr size_t kBytesMax = 64U << 20;
constexpr size_t kDepthMax = 8;
constexpr int kKeysMax = 10'000;  // of one object

absl::StatusOr<Json> ReadMeta(const std::string& path) {
  HFWA_ASSIGN_OR_RETURN(const std::string text, FileSystem::Real().Read(path, kBytesMax));
  // Three levels and five keys an item are all that is read. Order-keeping objects are searched
  // from their start for each key, so their size is bounded too.
  bool strange = false;
  std::array<int, kDepthMax + 1> keys = {};
  const auto usual = [&](int depth, Json::parse_event_t event, Json&) {
    const auto level = static_cast<size_t>(depth);
    if (level > kDepthMax) strange = true;
    if (strange) return false;
    if (event == Json::parse_event_t::object_start && level < kDepthMax) keys[level + 1] = 0;
    if (event == Json::parse_event_t::key && ++keys[level] > kKeysMax) strange = true;
    return !strange;
  };
  const Json meta = Json::parse(text, usual, /*allow_exceptions=*/false);
  if (meta.is_discarded() || strange) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not JSON of this form"));
  }
  return meta;
}

std::string Text(const Json& item, const char* key) {
  const auto found = item.find(key);
  return found != item.end() && found->is_string() ? found->get<std::string>() : "";
}

// Whether the item says that it is anomalous; -1 if it does not say.
int Label(const Json& item) {
  const auto found = item.find("anomaly");
  if (found == item.end()) return -1;
  if (found->is_boolean()) return found->get<bool>() ? 1 : 0;
  if (!found->is_number_integer()) return -1;
  const auto value = found->get<int64_t>();
  return value == 0 || value == 1 ? static_cast<int>(value) : -1;
}

void AddItems(const Json& items, Split split, const std::string& class_name, SetBuilder& builder) {
  size_t index = 0;
  for (const Json& item : items) {
    const std::string place =
        absl::StrCat(split == Split::kTrain ? "train" : "test", " ", class_name, " ", ++index);
    const int label = item.is_object() ? Label(item) : -1;
    const std::string image = item.is_object() ? Text(item, "img_path") : "";
    if (image.empty()) {
      builder.AddProblem(place, "item has no img_path");
    } else if (label < 0) {
      builder.AddProblem(image, "anomaly is neither 0 nor 1");
    } else {
      builder.Add(split, {.image = image,
                          .mask = Text(item, "mask_path"),
                          .class_name = "",
                          .kind = label == 0 ? "good" : Text(item, "specie_name"),
                          .anomalous = label == 1});
    }
  }
}

// The items of a class in a split; null if there are none, a problem if they are no list.
const Json* Items(const Json& split, const std::string& class_name, SetBuilder& builder) {
  const auto found = split.find(class_name);
  if (found == split.end()) return nullptr;
  if (found->is_array()) return &*found;
  builder.AddProblem(class_name, "is no list of items in meta.json");
  return nullptr;
}

}  // namespace

bool HasMetaJson(const std::string& root) {
  std::error_code error;
  return std::filesystem::is_regular_file(root + "/meta.json", error);
}

absl::StatusOr<DataSet> ReadMetaJson(const std::string& root) {
  HFWA_ASSIGN_OR_RETURN(SetBuilder builder, SetBuilder::Create(root, "meta.json"));
  HFWA_ASSIGN_OR_RETURN(const Json meta, ReadMeta(root + "/meta.json"));
  const Json none = Json::object();
  const auto split = [&](const char* name) -> const Json& {
    return meta.is_object() && meta.contains(name) ? meta.at(name) : none;
  };
  const Json& train = split("train");
  const Json& test = split("test");
  if (!test.is_object() || !train.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(root, "/meta.json: train and test must map classes to items"));
  }
  for (const auto& [name, items] : test.items()) {
    if (!builder.StartClass(name)) continue;
    if (const Json* of = Items(train, name, builder)) {
      AddItems(*of, Split::kTrain, name, builder);
    }
    if (const Json* of = Items(test, name, builder)) AddItems(*of, Split::kTest, name, builder);
  }
  for (const auto& [name, items] : train.items()) {
    if (!test.contains(name)) {
      builder.AddProblem(name, "is trained with but not tested", Problem::Effect::kNote);
    }
  }
  return builder.Finish();
}

}  // namespace hfwa::lab::internal
