#include "lab/train/checkpoint.h"

#include <cstring>
#include <fstream>
#include <utility>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/file_system.h"
#include "core/base/status_macros.h"
#include "core/model/safetensors.h"

namespace hfwa::lab::train {
namespace {

// Not a name that a parameter can have.
constexpr char kState[] = "#state";
constexpr int64_t kMaxStateBytes = 64 << 20;

absl::Status Publish(const std::string& temporary, const std::string& path) {
  FileSystem& files = FileSystem::Real();
  HFWA_RETURN_IF_ERROR(files.SyncFile(temporary));
  HFWA_RETURN_IF_ERROR(files.Rename(temporary, path));
  return files.SyncDirectory(ParentDirectory(path));
}

}  // namespace

absl::Status WriteTensorsDurably(const std::string& path,
                                 const std::map<std::string, at::Tensor>& tensors) {
  const std::string temporary = path + ".new";
  HFWA_RETURN_IF_ERROR(model::WriteSafetensors(temporary, tensors));
  return Publish(temporary, path);
}

absl::Status WriteTextDurably(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".new";
  // Not FileSystem::Create, whose files are their owner's alone: a model is for others too.
  std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out) return absl::UnavailableError(absl::StrCat(path, ": cannot be written"));
  return Publish(temporary, path);
}

absl::Status WriteCheckpoint(const std::string& path, const Checkpoint& checkpoint) {
  std::map<std::string, at::Tensor> tensors = checkpoint.tensors;
  const std::string text = checkpoint.state.dump();
  at::Tensor bytes = at::empty({static_cast<int64_t>(text.size())}, at::kByte);
  std::memcpy(bytes.data_ptr(), text.data(), text.size());
  tensors[kState] = bytes;
  return WriteTensorsDurably(path, tensors);
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path) {
  HFWA_ASSIGN_OR_RETURN(const auto file, model::SafetensorsFile::Open(path));
  Checkpoint checkpoint;
  for (const auto& [name, view] : file.tensors()) {
    if (name == kState) continue;
    if (view.dtype != at::kFloat) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", name, " is not fp32"));
    }
    HFWA_ASSIGN_OR_RETURN(checkpoint.tensors[name], file.Read(name));
  }
  const auto state = file.tensors().find(kState);
  if (state == file.tensors().end() || state->second.dtype != at::kByte ||
      state->second.bytes.size() > kMaxStateBytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is no checkpoint"));
  }
  checkpoint.state = nlohmann::json::parse(state->second.bytes, nullptr, false);
  if (!checkpoint.state.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": its state is not JSON"));
  }
  return checkpoint;
}

}  // namespace hfwa::lab::train
