#include "lab/seeded_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include <ATen/ATen.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/model/safetensors.h"

namespace hfwa::lab {
namespace {

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15;

uint64_t Mix(uint64_t key, uint64_t index) {
  uint64_t z = key + (index + 1) * kGolden;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  return z ^ z >> 31;
}

// An element is offset + scale * u, u in [-1, 1).
struct Range {
  float offset;
  float scale;
};

float Over(double numerator, int64_t fan) {
  return static_cast<float>(numerator / std::sqrt(static_cast<double>(fan)));
}

bool EndsWith(const std::string& name, const char* suffix) {
  return absl::EndsWith(ToAbsl(name), suffix);
}
bool Contains(const std::string& name, const char* part) {
  return absl::StrContains(ToAbsl(name), part);
}

bool IsNorm(const std::string& name) {
  for (const char* norm :
       {"ln_1.", "ln_2.", "ln_pre.", "ln_post.", "ln_final.", "norm1.", "norm2."}) {
    if (EndsWith(name, (std::string(norm) + "weight").c_str()) ||
        EndsWith(name, (std::string(norm) + "bias").c_str())) {
      return true;
    }
  }
  return false;
}

std::optional<Range> RangeByFullName(const std::string& name, const std::vector<int64_t>& shape) {
  static const std::map<std::string, Range> fixed = {
      {"visual.class_embedding", {0, 1}},
      {"visual.positional_embedding", {0, 0.25F}},
      {"positional_embedding", {0, 1.0F / 64}},
      {"token_embedding.weight", {0, 1.0F / 32}},
      {"prompt_learner.ctx_pos", {0, 1.0F / 32}},
      {"prompt_learner.ctx_neg", {0, 1.0F / 32}},
      {"logit_scale", {static_cast<float>(2.6592600369), 0}},
      {"cross_fusion.linear.bias", {0, 0.25F}},
  };
  const auto found = fixed.find(name);
  if (found != fixed.end()) return found->second;
  if (name == "visual.conv1.weight" && shape.size() == 4)
    return Range{0, Over(1.7, 3 * shape[2] * shape[3])};
  const bool projection = name == "visual.proj" || name == "text_projection";
  if (projection && shape.size() == 2) return Range{0, Over(1.7, shape[0])};
  return std::nullopt;
}

std::optional<Range> RangeOf(const std::string& name, const std::vector<int64_t>& shape) {
  if (auto range = RangeByFullName(name, shape)) return range;
  const bool weight = EndsWith(name, ".weight");
  if (IsNorm(name)) return weight ? Range{1, 0.125F} : Range{0, 1.0F / 16};
  if (EndsWith(name, ".attn.logit_scale")) return Range{3, 2};
  if (EndsWith(name, ".cpb_mlp.0.weight")) return Range{0, 1};
  if (EndsWith(name, ".cpb_mlp.0.bias")) return Range{0, 0.5F};
  if (EndsWith(name, ".in_proj_bias")) return Range{0, 0.125F};
  if (EndsWith(name, ".bias")) return Range{0, 1.0F / 32};
  if (shape.size() != 2) return std::nullopt;
  const int64_t columns = shape[1];
  if (Contains(name, ".level_projections.") || EndsWith(name, ".in_proj_weight") ||
      EndsWith(name, ".out_proj.weight") || EndsWith(name, ".c_fc.weight") ||
      EndsWith(name, ".cpb_mlp.2.weight")) {
    return Range{0, Over(2.0, columns)};
  }
  const bool adapter_layer = Contains(name, ".layers.") && weight;
  if (EndsWith(name, ".c_proj.weight") || adapter_layer || name == "cross_fusion.linear.weight") {
    return Range{0, Over(1.7, columns)};
  }
  return std::nullopt;
}

// Triangle wave of period 65536.
int64_t Triangle(int64_t q) {
  const int64_t within = q & 65535;  // the modulus is never negative
  return std::abs(2 * within - 65536) - 32768;
}

// The picture's texture and, if it has one, its defect.
class Picture {
 public:
  Picture(const std::string& name, int size, uint64_t seed, bool defect)
      : key_(SeededKey(name, seed)), size_(size), defect_(defect) {
    for (uint64_t j = 0; j < frequencies_.size(); ++j) {
      const auto r = static_cast<int64_t>(SeededBits("texture", seed, j) >> 32);
      const int64_t v = 400 + r % 3600;
      frequencies_[j] = (r >> 31 & 1) != 0 ? -v : v;
    }
    for (uint64_t k = 0; k < phases_.size(); ++k) {
      phases_[k] = static_cast<int64_t>(SeededBits(name + ".phase", seed, k) >> 32) % 65536;
    }
    const auto box = [&](uint64_t i, int64_t modulus) {
      return static_cast<int64_t>(SeededBits(name + ".defect", seed, i) >> 32) %
             std::max<int64_t>(1, modulus);
    };
    left_ = box(0, size / 2);
    top_ = box(1, size / 2);
    width_ = size / 8 + box(2, size / 4);
    height_ = size / 8 + box(3, size / 4);
  }

  float Pixel(int64_t c, int64_t y, int64_t x) const {
    const auto place = static_cast<uint64_t>((c * size_ + y) * size_ + x);
    const int64_t noise = static_cast<int64_t>(Mix(key_, place) >> 48) - 32768;
    return static_cast<float>(Wave(c, y, x) + noise) / 131072.0F;
  }

 private:
  int64_t Wave(int64_t c, int64_t y, int64_t x) const {
    if (defect_ && x >= left_ && x < left_ + width_ && y >= top_ && y < top_ + height_) {
      return 6 * Triangle(9001 * x + 5003 * (c + 1) * y);
    }
    return 3 * Texture(c, y, x) + 2 * Texture((c + 1) % 3, y, x) + Texture((c + 2) % 3, y, x);
  }
  int64_t Texture(int64_t k, int64_t y, int64_t x) const {
    const auto i = static_cast<size_t>(k);
    return Triangle(frequencies_[2 * i] * x + frequencies_[2 * i + 1] * y + phases_[i]);
  }

  uint64_t key_;
  int64_t size_;
  bool defect_;
  std::array<int64_t, 6> frequencies_ = {};
  std::array<int64_t, 3> phases_ = {};
  int64_t left_ = 0, top_ = 0, width_ = 0, height_ = 0;
};

absl::Status WriteText(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be written"));
  return absl::OkStatus();
}

}  // namespace

uint64_t SeededKey(std::string_view name, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : name) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  return hash ^ seed * kGolden;
}

uint64_t SeededBits(std::string_view name, uint64_t seed, uint64_t index) {
  return Mix(SeededKey(name, seed), index);
}

absl::StatusOr<at::Tensor> SeededTensor(const std::string& name, const std::vector<int64_t>& shape,
                                        uint64_t seed) {
  const auto range = RangeOf(name, shape);
  if (!range) return absl::InvalidArgumentError(absl::StrCat("no recipe for a tensor ", name));
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* values = tensor.mutable_data_ptr<float>();
  const uint64_t key = SeededKey(name, seed), count = static_cast<uint64_t>(tensor.numel());
  for (uint64_t i = 0; i < count; ++i) {
    // 24 bits: exact in fp32.
    const float u = static_cast<float>(Mix(key, i) >> 40) * 0x1p-23F - 1.0F;
    values[i] = range->offset + range->scale * u;
  }
  return tensor;
}

model::Weights SeededWeights(const model::ModelConfig& config, uint64_t seed) {
  model::Weights weights;
  for (const model::TensorSpec& spec : model::RequiredTensors(config)) {
    // The recipe covers every name that RequiredTensors has; a test walks them.
    weights.Set(spec.name, SeededTensor(spec.name, spec.shape, seed).value());
  }
  model::ResolveAliases(config, weights);
  return weights;
}

at::Tensor SeededImage(const std::string& name, int size, uint64_t seed, bool defect) {
  const Picture picture(name, size, seed, defect);
  at::Tensor image = at::empty({3, size, size}, at::kFloat);
  float* out = image.mutable_data_ptr<float>();
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < size; ++y) {
      for (int x = 0; x < size; ++x) *out++ = picture.Pixel(c, y, x);
    }
  }
  return image;
}

at::Tensor SeededImages(const model::ModelConfig& config, uint64_t seed, const std::string& prefix,
                        int count) {
  std::vector<at::Tensor> images;
  for (int k = 0; k < count; ++k) {
    const bool defect = prefix == "image" && k % 2 == 0;
    images.push_back(
        SeededImage(absl::StrCat(prefix, ".", k), config.vision.image_size, seed, defect));
  }
  return at::stack(images);
}

absl::Status WriteSeededModel(const std::string& config_json, uint64_t seed,
                              const std::string& merges, const std::string& directory) {
  HFWA_ASSIGN_OR_RETURN(const model::ModelConfig config, model::ParseModelConfig(config_json));
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return absl::InvalidArgumentError(absl::StrCat(directory, ": ", error.message()));
  std::map<std::string, at::Tensor> frozen, learnt;
  const model::Weights weights = SeededWeights(config, seed);
  for (const model::TensorSpec& spec : model::RequiredTensors(config)) {
    const bool is_learnt = absl::StartsWith(ToAbsl(spec.name), "visual_encoder.") ||
                           absl::StartsWith(ToAbsl(spec.name), "prompt_learner.") ||
                           absl::StartsWith(ToAbsl(spec.name), "cross_fusion.");
    (is_learnt ? learnt : frozen)[spec.name] = weights.tensors().at(spec.name);
  }
  HFWA_RETURN_IF_ERROR(model::WriteSafetensors(directory + "/weights.safetensors", frozen));
  if (config.has_language()) {
    HFWA_RETURN_IF_ERROR(model::WriteSafetensors(directory + "/learned.safetensors", learnt));
    HFWA_RETURN_IF_ERROR(WriteText(directory + "/merges.txt", merges));
  }
  return WriteText(directory + "/config.json", config_json);
}

}  // namespace hfwa::lab
