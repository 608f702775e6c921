#pragma once

#include <map>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/model/config.h"
#include "core/model/weights.h"

namespace hfwa::lab {

// WinCLIP's compositional prompt ensemble (arXiv 2303.14814, section 4.1): state words times
// templates around a class's name, by CLIP's frozen text tower, whatever the model learnt. The
// words are those of HFWA spec 5.5, set `template`, and a side's feature is that of spec 5.4: the
// mean of its prompts' unit vectors, brought to length one. Thread-safe.
class PromptEnsemble {
 public:
  // Keeps the model's text tower. FAILED_PRECONDITION where it has no language side.
  static absl::StatusOr<std::unique_ptr<PromptEnsemble>> Create(const model::ModelConfig& config,
                                                                const model::Weights& weights,
                                                                const std::string& merges,
                                                                const std::string& method);

  // Normal, then anomalous: [2, E] fp32 on the CPU, rows of length one. An underscore in the name
  // is read as a space; no name is "object". Encoded once a name. FAILED_PRECONDITION where the
  // text tower is too short for the prompts.
  absl::StatusOr<at::Tensor> Pair(const std::string& class_name) const;

 private:
  PromptEnsemble() = default;

  model::ModelConfig config_;
  model::Weights weights_;  // of the text tower
  std::string merges_;
  mutable absl::Mutex mu_;
  mutable std::map<std::string, at::Tensor> pairs_ ABSL_GUARDED_BY(mu_);
};

}  // namespace hfwa::lab
