// ParseModelConfig, and the merge with Hugging Face's configuration, on arbitrary text.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/model/config.h"
#include "core/model/frozen_source.h"
#include "core/model/weights.h"

namespace {

using namespace hfwa::model;

void Check(bool promise) {
  if (!promise) std::abort();
}

// What an accepted configuration promises to those who compute with it.
void CheckConfig(const ModelConfig& config) {
  const VisionConfig& vision = config.vision;
  Check(vision.width > 0 && vision.heads > 0 && vision.width % vision.heads == 0);
  Check(vision.patch_size > 0 && vision.grid() > 0 && vision.patches() <= 65536);
  Check(config.embed_dim > 0 && config.map_size > 0 && config.temperature > 0);
  Check(!config.taps.empty() && config.vision_blocks() <= vision.layers);
  for (const int tap : config.taps) Check(tap >= 0 && tap < vision.layers);
  if (config.has_language() && config.adapter.type == AdapterConfig::Type::kFwa) {
    Check(config.effective_window() > 1 && vision.grid() % config.effective_window() == 0);
    Check(vision.width % config.adapter.heads == 0);
  }
  for (const TensorSpec& spec : RequiredTensors(config)) {
    for (const int64_t side : spec.shape) Check(side > 0 && side <= int64_t{4} * 65536);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = ParseModelConfig(text);
  if (config.ok()) {
    CheckConfig(*config);
  } else {
    Check(config.status().code() == absl::StatusCode::kInvalidArgument);
  }
  // A byte that JSON cannot hold separates the two files.
  const size_t cut = text.find('\0');
  if (cut == std::string_view::npos) return 0;
  const auto merged = MergeHuggingFaceConfig(text.substr(0, cut), text.substr(cut + 1));
  if (!merged.ok()) return 0;
  const auto merged_config = ParseModelConfig(*merged);
  if (merged_config.ok()) CheckConfig(*merged_config);
  return 0;
}
