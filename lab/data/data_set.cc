#include "lab/data/data_set.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "lab/data/layouts.h"

namespace hfwa::lab {

std::string ToString(const Problem& problem) {
  const char* effect = problem.effect == Problem::Effect::kLeftOut  ? " (left out)"
                       : problem.effect == Problem::Effect::kNoMask ? " (its mask is left out)"
                                                                    : "";
  return absl::StrCat(problem.file, ": ", problem.what, effect);
}

absl::StatusOr<DataSet> ReadDataSet(const std::string& root) {
  if (internal::HasMetaJson(root)) return internal::ReadMetaJson(root);
  if (internal::HasMvtecFolders(root)) return internal::ReadMvtecFolders(root);
  if (internal::HasTextile(root)) return internal::ReadTextile(root);
  if (internal::HasGoodFolder(root)) return internal::ReadGoodFolder(root);
  return absl::NotFoundError(
      absl::StrCat(root,
                   " holds neither meta.json, nor train/ and test/ of a class, nor nominal/, "
                   "local/ and global/, nor good/"));
}

std::string ToMetaJson(const DataSet& set) {
  nlohmann::ordered_json meta;
  const auto add = [&meta](const char* split, const ItemClass& of, const std::vector<Item>& items) {
    nlohmann::ordered_json& list = meta[split][of.name] = nlohmann::ordered_json::array();
    for (const Item& item : items) {
      list.push_back({{"img_path", item.image},
                      {"mask_path", item.mask},
                      {"cls_name", item.class_name},
                      {"specie_name", item.kind},
                      {"anomaly", item.anomalous ? 1 : 0}});
    }
  };
  for (const ItemClass& of : set.classes) add("train", of, of.train);
  for (const ItemClass& of : set.classes) add("test", of, of.test);
  return meta.dump(1) + "\n";
}

}  // namespace hfwa::lab
