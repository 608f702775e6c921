// timm's VisionTransformer names to OpenAI's.

#include <array>
#include <utility>

#include <ATen/ATen.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/model/frozen_source.h"
#include "core/model/safetensors.h"

namespace hfwa::model {
namespace {

constexpr char kBlocks[] = "visual.transformer.resblocks.";

struct Renamed {
  const char* openai;
  const char* timm;
  const char* layer_scale;  // folded into this map's rows, or null
};
constexpr std::array<Renamed, 6> kInBlock = {{
    {".ln_1.", ".norm1.", nullptr},
    {".attn.in_proj_", ".attn.qkv.", nullptr},
    {".attn.out_proj.", ".attn.proj.", ".ls1.gamma"},
    {".ln_2.", ".norm2.", nullptr},
    {".mlp.c_fc.", ".mlp.fc1.", nullptr},
    {".mlp.c_proj.", ".mlp.fc2.", ".ls2.gamma"},
}};

class TimmSource final : public FrozenSource {
 public:
  TimmSource(SafetensorsFile file, int64_t width) : file_(std::move(file)), width_(width) {}

  absl::StatusOr<at::Tensor> Read(const std::string& name) const override {
    try {
      if (name == "visual.conv1.weight") return Widened("patch_embed.proj.weight");
      if (name == "visual.class_embedding") return Flat("cls_token", {width_});
      if (name == "visual.positional_embedding") return Positions();
      if (name == "visual.ln_post.weight") return Flat("norm.weight", {width_});
      if (name == "visual.ln_post.bias") return Flat("norm.bias", {width_});
      return InBlock(name);
    } catch (const c10::Error& error) {
      return absl::InvalidArgumentError(
          absl::StrCat(file_.path(), ": ", name, ": ", error.what_without_backtrace()));
    }
  }
  std::vector<File> Files() const override { return {{"vit.safetensors", file_.bytes()}}; }

 private:
  // Whole numbers come with one scale per output row, NAME_scale.
  absl::StatusOr<at::Tensor> Widened(const std::string& name) const {
    HFWA_ASSIGN_OR_RETURN(at::Tensor tensor, file_.ReadFp32(name));
    const bool whole = !at::isFloatingType(file_.tensors().at(name).dtype);
    if (!whole) return tensor;
    HFWA_ASSIGN_OR_RETURN(const at::Tensor scale, file_.ReadFp32(name + "_scale"));
    return ScaleRows(name, tensor, scale);
  }

  // Multiplies in place; the first dimension is the output's.
  absl::StatusOr<at::Tensor> ScaleRows(const std::string& name, const at::Tensor& tensor,
                                       const at::Tensor& scale) const {
    if (tensor.dim() < 1 || scale.dim() != 1 || scale.size(0) != tensor.size(0)) {
      return absl::InvalidArgumentError(
          absl::StrCat(file_.path(), ": the scale of ", name, " does not fit its rows"));
    }
    std::vector<int64_t> shape(static_cast<size_t>(tensor.dim()), 1);
    shape[0] = scale.size(0);
    return tensor.mul_(scale.view(shape));
  }

  absl::StatusOr<at::Tensor> Flat(const std::string& name, at::IntArrayRef shape) const {
    HFWA_ASSIGN_OR_RETURN(const at::Tensor tensor, Widened(name));
    return tensor.reshape(shape);
  }

  // CLIP's patch projection has no bias: adding it to the positions of the patches is the same sum.
  absl::StatusOr<at::Tensor> Positions() const {
    HFWA_ASSIGN_OR_RETURN(at::Tensor positions, Flat("pos_embed", {-1, width_}));
    if (!file_.Has("patch_embed.proj.bias")) return positions;
    HFWA_ASSIGN_OR_RETURN(const at::Tensor bias, Flat("patch_embed.proj.bias", {width_}));
    positions.slice(/*dim=*/0, /*start=*/1).add_(bias);
    return positions;
  }

  absl::StatusOr<at::Tensor> InBlock(const std::string& name) const {
    const size_t start = sizeof(kBlocks) - 1;
    const size_t end = name.find('.', start);
    if (name.rfind(kBlocks, 0) == 0 && end != std::string::npos) {
      const std::string block = "blocks." + name.substr(start, end - start);
      for (const Renamed& renamed : kInBlock) {
        if (name.compare(end, std::string_view(renamed.openai).size(), renamed.openai) != 0)
          continue;
        const std::string kind = name.substr(end + std::string_view(renamed.openai).size());
        HFWA_ASSIGN_OR_RETURN(at::Tensor tensor, Widened(absl::StrCat(block, renamed.timm, kind)));
        if (renamed.layer_scale == nullptr || !file_.Has(block + renamed.layer_scale))
          return tensor;
        HFWA_ASSIGN_OR_RETURN(const at::Tensor scale, file_.ReadFp32(block + renamed.layer_scale));
        return ScaleRows(name, tensor, scale);
      }
    }
    return absl::NotFoundError(
        absl::StrCat(file_.path(), ": a plain vision transformer has no ", name));
  }

  SafetensorsFile file_;
  int64_t width_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<FrozenSource>> OpenTimmSource(const std::string& path,
                                                             const ModelConfig& config) {
  const VisionConfig& vision = config.vision;
  if (vision.pre_norm_layer || vision.quick_gelu) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": timm's names need vision.pre_norm_layer and vision.quick_gelu false"));
  }
  HFWA_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
  for (const auto& [name, view] : file.tensors()) {
    // Register tokens and gated or normalised variants would be dropped silently.
    if (name == "reg_token" || absl::StrContains(ToAbsl(name), ".q_norm.") ||
        absl::StrContains(ToAbsl(name), ".mlp.w12.")) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", name, " is not supported"));
    }
  }
  return std::make_unique<TimmSource>(std::move(file), vision.width);
}

}  // namespace hfwa::model
