#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lab/eval/hfwa_method.h"
#include "lab/eval/method.h"
#include "lab/eval/padim_method.h"
#include "lab/eval/patchcore_method.h"
#include "lab/eval/spade_method.h"

namespace hfwa::lab {
namespace {

using Maker = std::function<std::unique_ptr<Method>(const model::Hfwa&)>;

template <typename T>
std::unique_ptr<Method> OverTokens(const model::Hfwa& hfwa) {
  return std::make_unique<T>(hfwa.config());
}

const std::vector<std::pair<std::string, Maker>>& Makers() {
  static const std::vector<std::pair<std::string, Maker>> makers{
      {"hfwa", [](const model::Hfwa& hfwa) { return std::make_unique<HfwaMethod>(hfwa); }},
      {"spade", OverTokens<SpadeMethod>},
      {"padim", OverTokens<PadimMethod>},
      {"patchcore", OverTokens<PatchcoreMethod>}};
  return makers;
}

}  // namespace

std::vector<std::string> MethodNames() {
  std::vector<std::string> names;
  for (const auto& [name, make] : Makers()) names.push_back(name);
  return names;
}

absl::StatusOr<std::unique_ptr<Method>> MakeMethod(const std::string& name,
                                                   const model::Hfwa& hfwa) {
  for (const auto& [known, make] : Makers()) {
    if (known == name) return make(hfwa);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("method '", name, "' is none of: ", absl::StrJoin(MethodNames(), ", ")));
}

}  // namespace hfwa::lab
