#include "absl/strings/str_cat.h"
#include "lab/eval/hfwa_method.h"
#include "lab/eval/method.h"
#include "lab/eval/padim_method.h"
#include "lab/eval/patchcore_method.h"
#include "lab/eval/spade_method.h"

namespace hfwa::lab {

absl::StatusOr<std::unique_ptr<Method>> MakeMethod(const std::string& name,
                                                   const model::Hfwa& hfwa) {
  if (name == "hfwa") return std::make_unique<HfwaMethod>(hfwa);
  if (name == "spade") return std::make_unique<SpadeMethod>(hfwa.config());
  if (name == "padim") return std::make_unique<PadimMethod>(hfwa.config());
  if (name == "patchcore") return std::make_unique<PatchcoreMethod>(hfwa.config());
  return absl::InvalidArgumentError(
      absl::StrCat("method '", name, "' is none of hfwa, spade, padim, patchcore"));
}

}  // namespace hfwa::lab
