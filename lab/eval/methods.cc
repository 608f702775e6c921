#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lab/eval/anomaly_dino_method.h"
#include "lab/eval/anomalyclip_method.h"
#include "lab/eval/april_gan_method.h"
#include "lab/eval/hfwa_method.h"
#include "lab/eval/inctrl_method.h"
#include "lab/eval/method.h"
#include "lab/eval/padim_method.h"
#include "lab/eval/patchcore_method.h"
#include "lab/eval/promptad_method.h"
#include "lab/eval/spade_method.h"
#include "lab/eval/winclip_method.h"

namespace hfwa::lab {
namespace {

using MethodOr = absl::StatusOr<std::unique_ptr<Method>>;
using Maker = std::function<MethodOr(const LoadedModel&)>;

template <typename T>
MethodOr OverTokens(const LoadedModel& model) {
  return std::make_unique<T>(model.hfwa.config());
}

const std::vector<std::pair<std::string, Maker>>& Makers() {
  static const std::vector<std::pair<std::string, Maker>> makers{
      {"hfwa",
       [](const LoadedModel& model) -> MethodOr {
         return std::make_unique<HfwaMethod>(model.hfwa, model.coreset_ratio);
       }},
      {"spade", OverTokens<SpadeMethod>},
      {"padim", OverTokens<PadimMethod>},
      {"patchcore", OverTokens<PatchcoreMethod>},
      {"anomaly-dino",
       [](const LoadedModel& model) -> MethodOr {
         return std::make_unique<AnomalyDinoMethod>(model.hfwa);
       }},
      {"winclip", WinclipMethod::Create},
      {"april-gan", AprilGanMethod::Create},
      {"anomalyclip", AnomalyClipMethod::Create},
      {"inctrl", InctrlMethod::Create},
      {"promptad", PromptadMethod::Create}};
  return makers;
}

}  // namespace

std::vector<std::string> MethodNames() {
  std::vector<std::string> names;
  for (const auto& [name, make] : Makers()) names.push_back(name);
  return names;
}

absl::StatusOr<std::unique_ptr<Method>> MakeMethod(const std::string& name,
                                                   const LoadedModel& model) {
  for (const auto& [known, make] : Makers()) {
    if (known == name) return make(model);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("method '", name, "' is none of: ", absl::StrJoin(MethodNames(), ", ")));
}

}  // namespace hfwa::lab
