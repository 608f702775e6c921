#include "absl/strings/str_cat.h"
#include "lab/eval/hfwa_method.h"
#include "lab/eval/method.h"

namespace hfwa::lab {

absl::StatusOr<std::unique_ptr<Method>> MakeMethod(const std::string& name,
                                                   const model::Hfwa& hfwa) {
  if (name == "hfwa") return std::make_unique<HfwaMethod>(hfwa);
  return absl::InvalidArgumentError(absl::StrCat("method '", name, "' is none of: hfwa"));
}

}  // namespace hfwa::lab
