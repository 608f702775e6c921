#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <spawn.h>
#include <sys/wait.h>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/config.h"
#include "core/model/frozen_source.h"
#include "core/model/safetensors.h"
#include "lab/fixture.h"
#include "lab/parity.h"

namespace hfwa::lab {
namespace {

namespace fs = std::filesystem;

// A folder that goes with its owner.
class TemporaryFolder {
 public:
  static absl::StatusOr<std::unique_ptr<TemporaryFolder>> Make() {
    std::string path = (fs::temp_directory_path() / "hfwa-parity-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) {
      return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(errno)));
    }
    return std::unique_ptr<TemporaryFolder>(new TemporaryFolder(path));
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  explicit TemporaryFolder(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

void CompareAll(const std::string& source, const Tensors& computed, const Tensors& expected,
                Report& report) {
  for (const auto& [name, tensor] : expected) {
    const auto found = computed.find(name);
    if (found == computed.end()) {
      report.Missing(absl::StrCat(source, " ", name), "not in the result");
    } else {
      report.Compare(absl::StrCat(source, " ", name), found->second, tensor, 0);
    }
  }
}

absl::Status CompareHuggingFace(const fs::path& folder, const std::string& source,
                                const model::ModelConfig& config, const Tensors& expected,
                                Report& report) {
  HFWA_ASSIGN_OR_RETURN(const auto frozen,
                        model::OpenFrozenSource((folder / source).string(), config));
  for (const auto& [name, tensor] : expected) {
    if (name == "logit_scale") continue;  // CLIP's own; no part of this model
    const std::string row = absl::StrCat(source, " ", name);
    const auto read = frozen->Read(name);
    if (read.ok()) {
      report.Compare(row, *read, tensor, 0);
    } else {
      report.Missing(row, std::string(read.status().message()));
    }
  }
  return absl::OkStatus();
}

absl::Status RunConverter(const std::string& converter, const fs::path& checkpoint,
                          const fs::path& out) {
  std::vector<std::string> arguments = {converter, checkpoint.string(), "--out", out.string()};
  std::vector<char*> argv;
  argv.reserve(arguments.size());
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, converter.c_str(), nullptr, nullptr, argv.data(), environ);
  if (error != 0) return absl::UnavailableError(absl::StrCat(converter, ": ", strerror(error)));
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return absl::InternalError(strerror(errno));
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return absl::InternalError(absl::StrCat(converter, " failed on ", checkpoint.string()));
  }
  return absl::OkStatus();
}

absl::Status CompareCheckpoint(const fs::path& folder, const std::string& source,
                               const std::string& converter, const Tensors& frozen,
                               const Tensors& learned, Report& report) {
  if (!fs::exists(converter)) {
    report.Skip(source, absl::StrCat("no converter at ", converter));
    return absl::OkStatus();
  }
  HFWA_ASSIGN_OR_RETURN(const auto temporary, TemporaryFolder::Make());
  HFWA_RETURN_IF_ERROR(RunConverter(converter, folder / source, temporary->path()));
  HFWA_ASSIGN_OR_RETURN(
      const Tensors computed,
      model::ReadAllTensors((temporary->path() / "weights.safetensors").string()));
  CompareAll(source, computed, frozen, report);
  if (source != "lightning.ckpt") return absl::OkStatus();
  HFWA_ASSIGN_OR_RETURN(
      const Tensors computed_learned,
      model::ReadAllTensors((temporary->path() / "learned.safetensors").string()));
  CompareAll(source, computed_learned, learned, report);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Report> FormatsParity(const std::string& folder, const std::string& converter) {
  const fs::path path = folder;
  HFWA_ASSIGN_OR_RETURN(const std::string text, ReadFile((path / "config.json").string()));
  HFWA_ASSIGN_OR_RETURN(const model::ModelConfig config, model::ParseModelConfig(text));
  HFWA_ASSIGN_OR_RETURN(const Tensors frozen,
                        model::ReadAllTensors((path / "expected_openai.safetensors").string()));
  HFWA_ASSIGN_OR_RETURN(const Tensors learned,
                        model::ReadAllTensors((path / "expected_learned.safetensors").string()));
  Report report;
  for (const char* source : {"hf_single", "hf_sharded"}) {
    HFWA_RETURN_IF_ERROR(CompareHuggingFace(path, source, config, frozen, report));
  }
  for (const char* source : {"state_dict.pt", "torchscript.pt", "lightning.ckpt"}) {
    HFWA_RETURN_IF_ERROR(CompareCheckpoint(path, source, converter, frozen, learned, report));
  }
  return report;
}

}  // namespace hfwa::lab
