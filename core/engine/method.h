#pragma once

// What a product's method makes of what the model and the memory bank say of a picture.

#include <optional>

#include <ATen/core/Tensor.h>

#include "core/model/config.h"
#include "core/store/method.h"

namespace hfwa::engine {

// Whether language takes part in map and score.
bool UsesLanguage(const model::ModelConfig& config, store::Method method);

// Mean of the largest hundredth (rounded to whole patches, at least one: 6 of 576) of the patches'
// distances, summed over levels: AnomalyDINO's image score (arXiv 2405.14529). `few` [n, g, g].
double TopPatches(const at::Tensor& few);

struct Judged {
  at::Tensor map;                       // [size, size] fp32 on the CPU
  double map_max = 0;                   // of it
  std::optional<double> top_patches{};  // where the method scores by them

  // What the score is made of beside language (scoring::RawScore::map_max).
  double distance() const { return top_patches.value_or(map_max); }
};

// `language_diff` [n, g, g], undefined without language side and not looked at where the method
// does without; `few` [n, g, g], undefined without bank. LibTorch's exceptions pass through.
Judged JudgeMatches(const model::ModelConfig& config, store::Method method,
                    const at::Tensor& language_diff, const at::Tensor& few);

}  // namespace hfwa::engine
