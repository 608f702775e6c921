#include "lab/fixture.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/safetensors.h"

namespace hfwa::lab {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 8;

// Tensors of a file, if it is there, over those that `tensors` holds already.
absl::Status Overlay(const fs::path& path, Tensors& tensors) {
  if (!fs::exists(path)) return absl::OkStatus();
  HFWA_ASSIGN_OR_RETURN(Tensors own, model::ReadAllTensors(path.string()));
  for (auto& [name, tensor] : own) tensors[name] = std::move(tensor);
  return absl::OkStatus();
}

absl::Status ReadLayers(const fs::path& folder, int depth, Fixture& fixture) {
  if (depth > kMaxDepth)
    return absl::InvalidArgumentError("fixtures extend each other in a circle");
  HFWA_ASSIGN_OR_RETURN(const nlohmann::json config, ReadJson((folder / "config.json").string()));
  const auto extends = config.find("extends");
  if (extends != config.end() && extends->is_string()) {
    HFWA_RETURN_IF_ERROR(ReadLayers(folder / extends->get<std::string>(), depth + 1, fixture));
  }
  HFWA_RETURN_IF_ERROR(Overlay(folder / "weights.safetensors", fixture.weights));
  HFWA_RETURN_IF_ERROR(Overlay(folder / "learned.safetensors", fixture.weights));
  return Overlay(folder / "inputs.safetensors", fixture.inputs);
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return std::move(bytes).str();
}

absl::StatusOr<nlohmann::json> ReadJson(const std::string& path) {
  HFWA_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::InvalidArgumentError(absl::StrCat(path, " is not JSON"));
  return json;
}

absl::StatusOr<Fixture> ReadFixture(const std::string& folder) {
  Fixture fixture;
  const fs::path path = folder;
  HFWA_ASSIGN_OR_RETURN(fixture.config_text, ReadFile((path / "config.json").string()));
  HFWA_ASSIGN_OR_RETURN(fixture.config, ReadJson((path / "config.json").string()));
  HFWA_RETURN_IF_ERROR(ReadLayers(path, 0, fixture));
  HFWA_RETURN_IF_ERROR(Overlay(path / "expected.safetensors", fixture.expected));
  return fixture;
}

}  // namespace hfwa::lab
