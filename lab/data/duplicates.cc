#include "lab/data/duplicates.h"

#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "lab/data/load.h"

namespace hfwa::lab {
namespace {

class ClassDuplicates {
 public:
  ClassDuplicates(DataSet& set, ItemClass& of) : set_(set), of_(of) {}

  void Drop() {
    for (const std::vector<Item>* items : {&of_.train, &of_.test}) {
      for (const Item& item : *items) ++sizes_[Size(item)];
    }
    Drop(of_.train);
    Drop(of_.test);
  }

 private:
  uintmax_t Size(const Item& item) const {
    std::error_code error;
    return std::filesystem::file_size(absl::StrCat(set_.root, "/", item.image), error);
  }

  // What an earlier image with the same bytes is called; empty if there is none.
  std::string Earlier(const Item& item) {
    if (sizes_[Size(item)] < 2) return "";
    const auto bytes = LoadBytes(set_, item.image);
    if (!bytes.ok()) return "";  // whoever needs it will say so
    const auto [found, is_new] = names_.emplace(Sha256Hex(*bytes), item.image);
    return is_new ? "" : found->second;
  }

  void Drop(std::vector<Item>& items) {
    std::vector<Item> kept;
    for (Item& item : items) {
      const std::string earlier = Earlier(item);
      if (earlier.empty()) {
        kept.push_back(std::move(item));
      } else {
        set_.problems.push_back({item.image, absl::StrCat("is the same picture as ", earlier),
                                 Problem::Effect::kLeftOut});
      }
    }
    items = std::move(kept);
  }

  DataSet& set_;
  ItemClass& of_;
  std::map<uintmax_t, int> sizes_;
  std::map<std::string, std::string> names_;  // by hash
};

}  // namespace

void DropDuplicates(DataSet& set) {
  for (ItemClass& of : set.classes) ClassDuplicates(set, of).Drop();
}

}  // namespace hfwa::lab
