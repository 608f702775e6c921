#include "lab/learnt_file.h"

#include <cstring>
#include <utility>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/model/safetensors.h"

namespace hfwa::lab {
namespace {

// Not a name that a parameter can have.
constexpr char kLearntOver[] = "#learnt_over";

}  // namespace

std::string VisionFingerprint(const model::ModelConfig& config) {
  const model::VisionConfig& v = config.vision;
  return absl::StrCat(
      "taps=", absl::StrJoin(config.taps, ","), " side=", v.image_size, " patch=", v.patch_size,
      " heads=", v.heads, " layers=", v.layers, " pre=", v.pre_norm_layer, " quick=", v.quick_gelu,
      " eps=", v.layer_norm_eps, " mean=", absl::StrJoin(config.mean, ","),
      " std=", absl::StrJoin(config.std, ","), config.value_encoder ? " values" : "");
}

std::string LearntOver(const model::ModelConfig& config, const std::string& frozen_digest) {
  return Sha256Hex(absl::StrCat(frozen_digest, " ", VisionFingerprint(config)));
}

std::string LearntFileName(const std::string& method) { return method + ".safetensors"; }

std::map<std::string, at::Tensor> ForLearntFile(std::map<std::string, at::Tensor> tensors,
                                                const std::string& learnt_over) {
  at::Tensor bytes = at::empty({static_cast<int64_t>(learnt_over.size())}, at::kByte);
  std::memcpy(bytes.data_ptr(), learnt_over.data(), learnt_over.size());
  tensors[kLearntOver] = bytes;
  return tensors;
}

absl::StatusOr<std::map<std::string, at::Tensor>> ReadLearntFile(const std::string& directory,
                                                                 const std::string& method,
                                                                 const std::string& learnt_over) {
  const std::string path = absl::StrCat(directory, "/", LearntFileName(method));
  const auto file = model::SafetensorsFile::Open(path);
  if (absl::IsNotFound(file.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is not there; hfwa-train --method ", method, " --model ", directory,
                     " --data AUXILIARY_SET --out NEW_MODEL makes a model directory with it"));
  }
  HFWA_RETURN_IF_ERROR(file.status());
  const auto over = file->tensors().find(kLearntOver);
  if (over == file->tensors().end() || over->second.dtype != at::kByte) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": does not say what it was learnt over"));
  }
  if (over->second.bytes != learnt_over) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": was learnt over another backbone than that of ", directory));
  }
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, view] : file->tensors()) {
    if (name == kLearntOver) continue;
    HFWA_ASSIGN_OR_RETURN(tensors[name], file->Read(name));
  }
  return tensors;
}

}  // namespace hfwa::lab
