#include "lab/image_set.h"

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "lab/data/data_set.h"

namespace hfwa::lab {

absl::StatusOr<ImageSet> ReadImageSet(const std::string& folder) {
  HFWA_ASSIGN_OR_RETURN(const DataSet set, ReadDataSet(folder));
  for (const Problem& problem : set.problems) {
    if (problem.effect == Problem::Effect::kLeftOut) {
      return absl::InvalidArgumentError(absl::StrCat(folder, "/", ToString(problem)));
    }
  }
  ImageSet images;
  for (const ItemClass& of : set.classes) {
    for (const Item& item : of.train) {
      if (!item.anomalous) images.pool.push_back(absl::StrCat(folder, "/", item.image));
    }
    for (const Item& item : of.test) {
      images.tests.push_back({absl::StrCat(folder, "/", item.image), item.kind});
    }
  }
  return images;
}

}  // namespace hfwa::lab
