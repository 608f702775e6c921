#include "lab/train/output.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/mapped_file.h"
#include "lab/train/checkpoint.h"
#include "lab/train/options.h"

namespace hfwa::lab::train {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxConfigBytes = 4 << 20;

absl::Status Place(const fs::path& from, const fs::path& to) {
  std::error_code error;
  if (fs::exists(to, error)) {
    if (fs::equivalent(from, to, error)) return absl::OkStatus();
    fs::remove(to, error);  // of an earlier run, or cut short
  }
  fs::create_hard_link(fs::canonical(from, error), to, error);
  if (!error) return absl::OkStatus();
  // Another file system. The copy gets its name when it is whole.
  const fs::path temporary = to.string() + ".new";
  fs::copy_file(from, temporary, fs::copy_options::overwrite_existing, error);
  if (!error) fs::rename(temporary, to, error);
  if (error) return absl::UnavailableError(absl::StrCat(to.string(), ": ", error.message()));
  return absl::OkStatus();
}

// Files under names that checkpoint.cc, WriteSafetensors and Place give for a while.
void RemoveHalfWritten(const fs::path& path) {
  std::error_code error;
  const std::string begin = path.filename().string() + ".new";
  for (const auto& entry : fs::directory_iterator(path.parent_path(), error)) {
    if (absl::StartsWith(entry.path().filename().string(), begin)) fs::remove(entry.path(), error);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<store::DirectoryLock>> LockOutput(const std::string& base,
                                                                 const std::string& out) {
  std::error_code error;
  if (fs::equivalent(base, out, error)) {
    return absl::FailedPreconditionError(
        absl::StrCat(out, ": is the model that training starts from"));
  }
  const fs::path training = fs::path(out) / "training";
  if (fs::exists(out, error) && !fs::is_empty(out, error) && !fs::is_directory(training, error)) {
    return absl::FailedPreconditionError(
        absl::StrCat(out, ": holds what no training run made; choose another directory"));
  }
  fs::create_directories(training, error);
  if (error) return absl::UnavailableError(absl::StrCat(out, ": ", error.message()));
  return store::DirectoryLock::Acquire((training / "lock").string());
}

absl::Status PrepareOutput(const std::string& base, const model::FrozenModel& frozen,
                           const std::string& config_json, const std::string& out) {
  std::error_code error;
  const fs::path folder = out;
  const std::string config_path = (folder / "config.json").string();
  if (fs::exists(config_path, error)) {
    HFWA_ASSIGN_OR_RETURN(const std::string old,
                          model::ReadSmallFile(config_path, kMaxConfigBytes));
    if (old != config_json) {
      return absl::FailedPreconditionError(
          absl::StrCat(out, ": holds a model of another configuration"));
    }
  }
  for (const char* name :
       {"config.json", "MODEL_CARD.md", "training/checkpoint.safetensors",
        "training/last.safetensors", "training/steps.csv", "training/epochs.csv"}) {
    RemoveHalfWritten(folder / name);
  }
  for (const TrainMethod method : kTrainMethods) RemoveHalfWritten(folder / LearntFile(method));
  for (const std::string& name : frozen.files) {
    RemoveHalfWritten(folder / name);
    HFWA_RETURN_IF_ERROR(Place(fs::path(base) / name, folder / name));
  }
  return WriteTextDurably(config_path, config_json);
}

}  // namespace hfwa::lab::train
