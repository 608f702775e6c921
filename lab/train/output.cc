#include "lab/train/output.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/mapped_file.h"
#include "lab/train/checkpoint.h"

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

}  // namespace

absl::Status PrepareOutput(const std::string& base, const model::FrozenModel& frozen,
                           const std::string& config_json, const std::string& out) {
  std::error_code error;
  fs::create_directories(fs::path(out) / "training", error);
  if (error) return absl::UnavailableError(absl::StrCat(out, ": ", error.message()));
  if (fs::equivalent(base, out, error)) {
    return absl::FailedPreconditionError(
        absl::StrCat(out, ": is the model that training starts from"));
  }
  const std::string config_path = out + "/config.json";
  if (fs::exists(config_path, error)) {
    HFWA_ASSIGN_OR_RETURN(const std::string old,
                          model::ReadSmallFile(config_path, kMaxConfigBytes));
    if (old != config_json) {
      return absl::FailedPreconditionError(
          absl::StrCat(out, ": holds a model of another configuration"));
    }
  } else if (!fs::is_empty(fs::path(out) / "training", error)) {
    return absl::FailedPreconditionError(absl::StrCat(out, ": holds something else already"));
  }
  for (const std::string& name : frozen.files) {
    HFWA_RETURN_IF_ERROR(Place(fs::path(base) / name, fs::path(out) / name));
  }
  return WriteTextDurably(config_path, config_json);
}

}  // namespace hfwa::lab::train
