#include "lab/parity.h"

#include <filesystem>

#include "absl/strings/str_cat.h"

namespace hfwa::lab {

absl::StatusOr<Report> RunParity(const std::string& folder, const ParityOptions& options) {
  const std::filesystem::path path = folder;
  const auto has = [&path](const char* file) { return std::filesystem::exists(path / file); };
  if (has("expected_openai.safetensors")) return FormatsParity(folder, options.converter);
  if (has("cases.json")) return TokenizerParity(folder);
  if (has("tensors56.safetensors") && has("src")) return PreprocessParity(folder);
  if (has("expected.json") && has("basic.safetensors")) return MetricsParity(folder);
  if (has("expected_losses.json")) return TrainParity(folder);
  if (has("config.json") && has("expected.safetensors")) return ForwardParity(folder, options);
  return absl::NotFoundError(absl::StrCat(folder, " holds no fixture that is known here"));
}

}  // namespace hfwa::lab
