#include "core/model/weights.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <utility>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace hfwa::model {
namespace {

constexpr size_t kMaxNamed = 10;

std::string ShapeText(at::IntArrayRef shape) {
  return absl::StrCat("[", absl::StrJoin(shape.begin(), shape.end(), ","), "]");
}

class SpecList {
 public:
  void Add(const std::string& name, std::vector<int64_t> shape) {
    specs_.push_back({name, std::move(shape)});
  }
  void AddNorm(const std::string& prefix, int64_t width) {
    Add(prefix + ".weight", {width});
    Add(prefix + ".bias", {width});
  }
  // Residual attention blocks `prefix.0` to `prefix.(layers - 1)`.
  void AddBlocks(const std::string& prefix, int layers, int64_t width) {
    for (int block = 0; block < layers; ++block) {
      const std::string at = absl::StrCat(prefix, ".", block);
      AddNorm(at + ".ln_1", width);
      Add(at + ".attn.in_proj_weight", {3 * width, width});
      Add(at + ".attn.in_proj_bias", {3 * width});
      Add(at + ".attn.out_proj.weight", {width, width});
      Add(at + ".attn.out_proj.bias", {width});
      AddNorm(at + ".ln_2", width);
      Add(at + ".mlp.c_fc.weight", {4 * width, width});
      Add(at + ".mlp.c_fc.bias", {4 * width});
      Add(at + ".mlp.c_proj.weight", {width, 4 * width});
      Add(at + ".mlp.c_proj.bias", {width});
    }
  }
  void AddVision(const ModelConfig& config) {
    const VisionConfig& vision = config.vision;
    const int64_t width = vision.width;
    Add("visual.conv1.weight", {width, 3, vision.patch_size, vision.patch_size});
    Add("visual.class_embedding", {width});
    Add("visual.positional_embedding", {vision.patches() + 1, width});
    if (vision.pre_norm_layer) AddNorm("visual.ln_pre", width);
    AddBlocks("visual.transformer.resblocks", config.vision_blocks(), width);
    if (vision.projection) Add("visual.proj", {width, config.embed_dim});
    for (int level = 0; vision.level_projections && level < config.levels(); ++level) {
      const std::string at = absl::StrCat("visual.level_projections.", level);
      Add(at + ".weight", {config.embed_dim, width});
      Add(at + ".bias", {config.embed_dim});
    }
    if (config.has_language()) AddNorm("visual.ln_post", width);
  }
  void AddText(const ModelConfig& config) {
    const TextConfig& text = *config.text;
    Add("token_embedding.weight", {text.vocab_size, text.width});
    Add("positional_embedding", {text.context_length, text.width});
    AddBlocks("transformer.resblocks", text.layers, text.width);
    AddNorm("ln_final", text.width);
    Add("text_projection", {text.width, config.embed_dim});
  }
  void AddAdapters(const ModelConfig& config) {
    const AdapterConfig& adapter = config.adapter;
    const bool fwa = adapter.type == AdapterConfig::Type::kFwa;
    const int levels = !fwa && config.share_weight ? 1 : config.levels();
    for (int level = 0; level < levels; ++level) {
      for (int block = 0; block < (fwa ? adapter.depth : 1); ++block) {
        if (fwa) AddWindowAttention(config, level, block);
        for (const AdapterLayer& layer : AdapterLayers(config, level, block)) {
          Add(layer.name, {layer.out, layer.in});
        }
      }
    }
  }
  void AddPrompt(const ModelConfig& config) {
    const PromptConfig& prompt = config.prompt;
    if (prompt.type == PromptConfig::Type::kLearned) {
      const auto classes = static_cast<int64_t>(prompt.class_names.size());
      const auto normal = static_cast<int64_t>(prompt.states_normal.size());
      const auto anomaly = static_cast<int64_t>(prompt.states_anomaly.size());
      Add("prompt_learner.ctx_pos", {classes, normal, prompt.length, config.text->width});
      Add("prompt_learner.ctx_neg", {classes, anomaly, prompt.length, config.text->width});
    }
    if (config.text_linear) {
      Add("cross_fusion.linear.weight", {config.embed_dim, config.embed_dim});
      Add("cross_fusion.linear.bias", {config.embed_dim});
    }
  }
  std::vector<TensorSpec> Take() { return std::move(specs_); }

 private:
  void AddWindowAttention(const ModelConfig& config, int level, int block) {
    const AdapterConfig& adapter = config.adapter;
    const std::string at = absl::StrCat("visual_encoder.adapters.", level, ".blocks.", block, ".");
    Add(at + "attn.logit_scale", {adapter.heads, 1, 1});
    Add(at + "attn.cpb_mlp.0.weight", {adapter.cpb_dim, 2});
    Add(at + "attn.cpb_mlp.0.bias", {adapter.cpb_dim});
    Add(at + "attn.cpb_mlp.2.weight", {adapter.heads, adapter.cpb_dim});
    AddNorm(at + "norm1", config.vision.width);
    AddNorm(at + "norm2", config.vision.width);
  }

  std::vector<TensorSpec> specs_;
};

// Several times faster than at::isfinite, which makes a tensor: a model holds 430 million numbers.
bool AllFinite(const at::Tensor& tensor) {
  const at::Tensor rows = tensor.contiguous();
  const float* values = rows.const_data_ptr<float>();
  const int64_t count = rows.numel();
  uint32_t bad = 0;
  for (int64_t i = 0; i < count; ++i) {
    bad |= static_cast<uint32_t>((std::bit_cast<uint32_t>(values[i]) & 0x7F800000U) == 0x7F800000U);
  }
  return bad == 0;
}

// What is wrong with a tensor, or nothing.
std::string Fault(const TensorSpec& spec, const Weights& weights) {
  const auto found = weights.tensors().find(spec.name);
  if (found == weights.tensors().end()) return spec.name + " is missing";
  const at::Tensor& tensor = found->second;
  if (tensor.sizes() != at::IntArrayRef(spec.shape)) {
    return absl::StrCat(spec.name, " has shape ", ShapeText(tensor.sizes()), ", not ",
                        ShapeText(spec.shape));
  }
  if (tensor.scalar_type() != at::kFloat || !tensor.device().is_cpu()) {
    return spec.name + " is not fp32 on the CPU";
  }
  if (!AllFinite(tensor)) return spec.name + " holds NaN or infinity";
  return "";
}

}  // namespace

absl::StatusOr<at::Tensor> Weights::Get(const std::string& name, at::IntArrayRef shape) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end())
    return absl::NotFoundError(absl::StrCat("tensor ", name, " is missing"));
  if (found->second.sizes() != shape) {
    return absl::InvalidArgumentError(absl::StrCat("tensor ", name, " has shape ",
                                                   ShapeText(found->second.sizes()), ", not ",
                                                   ShapeText(shape)));
  }
  return found->second;
}

std::vector<AdapterLayer> AdapterLayers(const ModelConfig& config, int level, int block) {
  const AdapterConfig& adapter = config.adapter;
  if (adapter.type == AdapterConfig::Type::kNone) return {};
  std::string at = absl::StrCat("visual_encoder.adapters.", level, ".");
  if (adapter.type == AdapterConfig::Type::kFwa) absl::StrAppend(&at, "blocks.", block, ".mlp.");
  // Between two linear maps sits an activation and, where there is one, a dropout.
  const int step = adapter.drop > 0.0 ? 3 : 2;
  std::vector<int64_t> sizes = {config.vision.width};
  sizes.insert(sizes.end(), adapter.hidden.begin(), adapter.hidden.end());
  sizes.push_back(config.vision.width);
  std::vector<AdapterLayer> layers;
  for (size_t i = 0; i + 1 < sizes.size(); ++i) {
    layers.push_back({absl::StrCat(at, "layers.", static_cast<int>(i) * step, ".weight"), sizes[i],
                      sizes[i + 1]});
  }
  return layers;
}

std::vector<TensorSpec> RequiredTensors(const ModelConfig& config) {
  SpecList specs;
  specs.AddVision(config);
  if (config.has_language()) {
    specs.AddText(config);
    specs.AddAdapters(config);
    specs.AddPrompt(config);
  }
  return specs.Take();
}

absl::Status CheckWeights(const ModelConfig& config, const Weights& weights) {
  std::vector<std::string> faults;
  for (const TensorSpec& spec : RequiredTensors(config)) {
    std::string fault = Fault(spec, weights);
    if (!fault.empty()) faults.push_back(std::move(fault));
  }
  if (faults.empty()) return absl::OkStatus();
  const size_t named = std::min(faults.size(), kMaxNamed);
  std::string text =
      absl::StrJoin(faults.begin(), faults.begin() + static_cast<ptrdiff_t>(named), "; ");
  if (faults.size() > named) absl::StrAppend(&text, "; and ", faults.size() - named, " more");
  return absl::InvalidArgumentError(text);
}

void ResolveAliases(const ModelConfig& config, Weights& weights) {
  if (!config.has_language() || config.adapter.type != AdapterConfig::Type::kLinear) return;
  for (int level = 0; level < config.levels(); ++level) {
    const auto plain =
        weights.tensors().find(absl::StrCat("visual_encoder.adapters.", level, ".weight"));
    const auto layers = AdapterLayers(config, level, 0);
    if (plain != weights.tensors().end() && layers.size() == 1 && !weights.Has(layers[0].name)) {
      weights.Set(layers[0].name, plain->second);
    }
  }
  if (!config.share_weight) return;
  const auto shared = AdapterLayers(config, 0, 0);
  for (int level = 1; level < config.levels(); ++level) {
    const auto own = AdapterLayers(config, level, 0);
    for (size_t i = 0; i < shared.size(); ++i) {
      const auto found = weights.tensors().find(shared[i].name);
      if (found != weights.tensors().end()) weights.Set(own[i].name, found->second);
    }
  }
}

}  // namespace hfwa::model
