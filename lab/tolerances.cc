#include "lab/tolerances.h"

#include <map>

namespace hfwa::lab {
namespace {

struct Limits {
  double small;    // fp32, small models
  double full;     // fp32
  double reduced;  // bf16, fp16
};

const std::map<std::string, Limits>& Table() {
  constexpr Limits kTap = {1.5e-4, 1.5e-4, 6e-1};
  constexpr Limits kAdapter = {2e-4, 2e-4, 6e-1};
  constexpr Limits kText = {3e-5, 3e-5, 7e-2};
  constexpr Limits kProbability = {5e-6, 5e-6, 6e-3};
  constexpr Limits kMap = {5e-6, 2e-6, 2.5e-3};
  constexpr Limits kCombined = {1e-5, 1e-5, 6e-3};
  constexpr Limits kExact = {0, 0, 0};
  // Values that the service keeps in fp32 have no reduced limit of their own.
  static const auto* const kTable = new std::map<std::string, Limits>{
      {"prompts", kExact},
      {"eot_index", kExact},
      {"fwa0.index", kExact},
      {"fwa0.coords", {1e-6, 1e-6, 1e-6}},
      {"fwa0.position_bias", {1e-5, 1e-5, 1e-5}},
      {"patch_embed", {2e-5, 2e-5, 6e-1}},
      {"ln_pre", {2e-5, 2e-5, 6e-1}},
      {"tap", kTap},
      {"tap_class", kTap},
      {"patches", kTap},
      {"patches_at", kTap},
      {"bank", kTap},
      {"fwa0.window_attention", {1.5e-4, 1.5e-4, 6e-1}},
      {"fwa0.norm1", {1.5e-4, 1.5e-4, 6e-1}},
      {"adapter", kAdapter},
      {"patch_features", kAdapter},
      {"patch_features_at", kAdapter},
      {"image_feature", {4e-5, 4e-5, 8e-2}},
      {"text_features", kText},
      {"text_pooled", kText},
      {"text_logits", {2e-6, 2e-6, 1.5e-3}},
      {"text_probs", kProbability},
      {"score_zero", kProbability},
      {"grid_logits", {6e-6, 2e-6, 4.5e-3}},
      {"maps", {1.5e-6, 1.5e-6, 2.5e-3}},
      {"map_sum", kMap},
      {"map_filtered", kMap},
      {"map_filtered_s8", kMap},
      {"few", {4e-6, 4e-6, 3e-3}},
      {"few_sum", kCombined},
      {"combined", kCombined},
      {"combined_s8", kCombined},
      {"score_few", {1e-5, 5e-6, 5e-3}},
  };
  return *kTable;
}

// "tap.3" -> "tap".
std::string WithoutLevel(const std::string& name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos || dot + 1 == name.size()) return name;
  return name.find_first_not_of("0123456789", dot + 1) == std::string::npos ? name.substr(0, dot)
                                                                            : name;
}

}  // namespace

double Tolerance(const std::string& name, model::Precision precision, bool full) {
  const auto found = Table().find(WithoutLevel(name));
  if (found == Table().end()) return -1;
  if (precision != model::Precision::kFp32) return found->second.reduced;
  return full ? found->second.full : found->second.small;
}

}  // namespace hfwa::lab
