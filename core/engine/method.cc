#include "core/engine/method.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <tuple>

#include "core/engine/maps.h"

namespace hfwa::engine {

bool UsesLanguage(const model::ModelConfig& config, store::Method method) {
  return config.has_language() && method == store::Method::kHfwa;
}

double TopPatches(const at::Tensor& few) {
  const at::Tensor patches = few.sum(0).flatten().to(at::kDouble);
  const auto count = std::max<int64_t>(1, std::lround(0.01 * static_cast<double>(patches.numel())));
  return std::get<0>(patches.topk(count)).mean().item<double>();
}

Judged JudgeMatches(const model::ModelConfig& config, store::Method method,
                    const at::Tensor& language_diff, const at::Tensor& few) {
  Judged judged;
  judged.map =
      CombinedMap(config, UsesLanguage(config, method) ? language_diff : at::Tensor(), few);
  judged.map_max = judged.map.max().item<float>();
  if (method == store::Method::kAnomalyDino) judged.top_patches = TopPatches(few);
  return judged;
}

}  // namespace hfwa::engine
