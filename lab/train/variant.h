#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace hfwa::lab::train {

// What a training run changes in the configuration of the model that it starts from; what is not
// set stays as it is there.
struct VariantOptions {
  std::string name;                 // of the new model; empty: as it was
  std::string adapter;              // "fwa", "linear" or "none"
  std::string prompts;              // "learned", "template" (learnt contexts in the scenes of spec
                                    // 5.5) or "fixed" (no contexts)
  bool share_adapter = false;       // one linear adapter for all levels
  bool residual = false;            // adapters feed back (spec 8)
  bool value_tokens = false;        // of the path of v-v attention (AnomalyCLIP)
  bool no_text_linear = false;      // the text pair as the tower gives it
  std::optional<double> gamma;      // of the residual encoder
  std::optional<double> attn_drop;  // on the windows' attention
  std::vector<std::string> class_names;  // of the prompts
};

// The new model's config.json. INVALID_ARGUMENT where the wishes contradict each other or give no
// valid configuration.
absl::StatusOr<std::string> VariantConfig(const std::string& base_json,
                                          const VariantOptions& options);

}  // namespace hfwa::lab::train
