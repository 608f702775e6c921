#include "core/model/hfwa.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/kernels/kernels.h"
#include "core/model/adapter.h"
#include "core/model/device.h"
#include "core/model/text_features.h"
#include "core/model/torch_errors.h"
#include "core/model/vision_tower.h"

namespace hfwa::model {
namespace {

constexpr double kCosineEpsilon = 1e-12;

at::Tensor Unit(const at::Tensor& x) {
  return x / x.norm(2, {-1}, /*keepdim=*/true).clamp_min_(kCosineEpsilon);
}

absl::StatusOr<std::unique_ptr<kernels::Kernels>> KernelsFor(at::Device device,
                                                             Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return kernels::MakeKernels(device, at::kFloat);
    case Precision::kBf16:
      return kernels::MakeKernels(device, at::kBFloat16);
    case Precision::kFp16:
      return kernels::MakeKernels(device, at::kHalf);
    case Precision::kInt8:
      break;
  }
  if (auto kernels = kernels::MakeInt8Kernels(device)) return kernels;
  return absl::UnavailableError("precision int8 needs a CPU with AVX512-VNNI");
}

// Appends results of parts of a batch.
at::Tensor Join(const std::vector<ForwardResult>& parts, at::Tensor ForwardResult::*member) {
  std::vector<at::Tensor> tensors;
  for (const ForwardResult& part : parts) {
    if ((part.*member).defined()) tensors.push_back(part.*member);
  }
  if (tensors.empty()) return {};
  return tensors.size() == 1 ? tensors.front() : at::cat(tensors);
}

}  // namespace

absl::StatusOr<Precision> ParsePrecision(std::string_view name) {
  for (const Precision precision :
       {Precision::kFp32, Precision::kBf16, Precision::kFp16, Precision::kInt8}) {
    if (name == PrecisionName(precision)) return precision;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("precision '", ToAbsl(name), "' is none of fp32, bf16, fp16, int8"));
}

Precision FastestPrecision(std::string_view device) {
  if (device != "cpu" || __builtin_cpu_supports("avx512bf16")) return Precision::kBf16;
  return Precision::kFp32;
}

std::string_view PrecisionName(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return "fp32";
    case Precision::kBf16:
      return "bf16";
    case Precision::kFp16:
      return "fp16";
    case Precision::kInt8:
      return "int8";
  }
  return "fp32";
}

class Hfwa::Impl {
 public:
  explicit Impl(HfwaOptions options) : options_(std::move(options)) {}

  absl::Status Load(ModelFiles files);
  absl::Status CheckInputs(const at::Tensor& images, absl::Span<const int> class_index) const;
  // Both on the device.
  ForwardResult Forward(const at::Tensor& images, const at::Tensor& classes,
                        ForwardParts parts) const;

  const ModelConfig& config() const { return config_; }
  const kernels::Kernels& kernels() const { return *kernels_; }
  const VisionTower& vision() const { return *tower_; }
  const at::Tensor& text_pairs() const { return text_unit_; }
  const HfwaOptions& options() const { return options_; }
  const std::string& config_json() const { return config_json_; }
  const std::string& digest() const { return digest_; }
  const at::Device& device() const { return device_; }

 private:
  absl::Status LoadLanguage(const Weights& weights, const std::string& merges);
  absl::Status LoadAdapters(const Weights& weights);
  // Grid of cosine differences of adapted tokens [B, L, W] against text pairs [B, 2, E]: [B, g, g].
  at::Tensor LanguageDiff(int level, const kernels::Tokens& adapted, const at::Tensor& pairs) const;
  at::Tensor TextProbabilities(const at::Tensor& image_feature, const at::Tensor& pairs) const;

  HfwaOptions options_;
  ModelConfig config_;
  std::string config_json_;
  std::string digest_;
  at::Device device_ = at::kCPU;
  std::unique_ptr<kernels::Kernels> kernels_;
  std::unique_ptr<VisionTower> tower_;
  std::vector<std::unique_ptr<Adapter>> adapters_;
  at::Tensor text_unit_;  // [M, 2, E], each of length one
};

absl::Status Hfwa::Impl::Load(ModelFiles files) {
  config_ = std::move(files.config);
  config_json_ = std::move(files.config_json);
  digest_ = std::move(files.digest);
  HFWA_ASSIGN_OR_RETURN(device_, OpenDevice(options_.device));
  if (config_.taps.empty()) return absl::InvalidArgumentError("taps: at least one is needed");
  if (options_.make_kernels) {
    kernels_ = options_.make_kernels(device_);
  } else {
    HFWA_ASSIGN_OR_RETURN(kernels_, KernelsFor(device_, options_.precision));
  }
  HFWA_ASSIGN_OR_RETURN(tower_, VisionTower::Load(config_, files.weights, *kernels_));
  if (config_.has_language()) {
    HFWA_RETURN_IF_ERROR(LoadAdapters(files.weights));
    HFWA_RETURN_IF_ERROR(LoadLanguage(files.weights, files.merges));
  }
  return absl::OkStatus();
}

absl::Status Hfwa::Impl::LoadAdapters(const Weights& weights) {
  for (int level = 0; level < config_.levels(); ++level) {
    HFWA_ASSIGN_OR_RETURN(
        std::unique_ptr<Adapter> adapter,
        LoadAdapter(config_, weights, level, tower_->out_proj(config_.taps[level]), *kernels_,
                    options_.trace));
    adapters_.push_back(std::move(adapter));
  }
  return absl::OkStatus();
}

absl::Status Hfwa::Impl::LoadLanguage(const Weights& weights, const std::string& merges) {
  PromptTokens tokens;
  if (options_.prompt_tokens.has_value()) {
    tokens = *options_.prompt_tokens;
  } else {
    HFWA_ASSIGN_OR_RETURN(tokens, TokenizePrompts(config_, merges));
  }
  HFWA_RETURN_IF_ERROR(CheckPromptTokens(config_, tokens));
  HFWA_ASSIGN_OR_RETURN(const at::Tensor pooled,
                        ComputeTextFeatures(config_, weights, tokens, options_.trace));
  text_unit_ = Unit(pooled).to(device_);
  return absl::OkStatus();
}

absl::Status Hfwa::Impl::CheckInputs(const at::Tensor& images,
                                     absl::Span<const int> class_index) const {
  const int64_t side = config_.vision.image_size;
  if (!images.defined() || images.dim() != 4 || images.size(0) < 1 || images.size(1) != 3 ||
      images.size(2) != side || images.size(3) != side || images.scalar_type() != at::kFloat) {
    return absl::InvalidArgumentError(
        absl::StrCat("images are not [B, 3, ", side, ", ", side, "] fp32"));
  }
  if (class_index.size() != static_cast<size_t>(images.size(0))) {
    return absl::InvalidArgumentError(
        absl::StrCat(class_index.size(), " class indices for ", images.size(0), " images"));
  }
  const int classes = static_cast<int>(config_.prompt.class_names.size());
  for (const int index : class_index) {
    if (config_.has_language() && (index < 0 || index >= classes)) {
      return absl::InvalidArgumentError(
          absl::StrCat("class index ", index, " is not in 0..", classes - 1));
    }
  }
  return absl::OkStatus();
}

ForwardResult Hfwa::Impl::Forward(const at::Tensor& images, const at::Tensor& classes,
                                  ForwardParts parts) const {
  const bool language = parts.language && config_.has_language();
  // The residual encoder's tokens depend on its adapters, language or not.
  const bool adapt = language || config_.residual_encoder;
  const at::Tensor pairs = language ? text_unit_.index_select(0, classes) : at::Tensor();
  const int64_t batch = images.size(0), levels = config_.levels(), grid = config_.vision.grid();
  std::vector<at::Tensor> diffs(config_.levels());
  ForwardResult result;
  if (parts.tokens) {
    result.tokens = at::empty({batch, levels, grid * grid, config_.embed_dim},
                              images.options().dtype(at::kFloat));
  }

  const auto visit = [&](int level, at::Tensor& x) {
    Emit(options_.trace, absl::StrCat("tap.", level), x);
    kernels::Tokens patches = kernels_->TokensOf(x.slice(1, 1));
    if (parts.tokens) {
      const at::Tensor projected = tower_->Project(level, patches);
      if (options_.trace) options_.trace(absl::StrCat("patches.", level), projected.to(at::kFloat));
      at::Tensor unit = result.tokens.select(1, level);
      kernels_->ToUnitLength(projected, unit);
    }
    if (!adapt) return;
    const kernels::Tokens adapted = adapters_[level]->Apply(patches, options_.trace);
    Emit(options_.trace, absl::StrCat("adapter.", level), adapted.value);
    if (language) diffs[level] = LanguageDiff(level, adapted, pairs);
    if (config_.residual_encoder) {
      patches.value.mul_(1.0 - config_.gamma).add_(adapted.value, config_.gamma);
    }
  };
  const at::Tensor image_feature =
      tower_->Forward(images, /*want_image_feature=*/language, visit, options_.trace);

  if (language) {
    result.text_probs = TextProbabilities(image_feature, pairs);
    result.language_diff = at::stack(diffs, 1);
  }
  return result;
}

at::Tensor Hfwa::Impl::LanguageDiff(int level, const kernels::Tokens& adapted,
                                    const at::Tensor& pairs) const {
  const at::Tensor features = tower_->Project(level, adapted);
  if (options_.trace)
    options_.trace(absl::StrCat("patch_features.", level), features.to(at::kFloat));
  const int64_t grid = config_.vision.grid();
  const at::Tensor logits = kernels_->Cosines(features, pairs).view({-1, 2, grid, grid});
  Emit(options_.trace, absl::StrCat("grid_logits.", level), logits);
  return logits.select(1, 1) - logits.select(1, 0);
}

at::Tensor Hfwa::Impl::TextProbabilities(const at::Tensor& image_feature,
                                         const at::Tensor& pairs) const {
  const at::Tensor logits = at::matmul(pairs, Unit(image_feature).unsqueeze(2)).squeeze(2);
  Emit(options_.trace, "text_logits", logits);
  return at::softmax(logits / config_.temperature, 1);
}

Hfwa::Hfwa(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Hfwa::~Hfwa() = default;

absl::StatusOr<std::unique_ptr<Hfwa>> Hfwa::Create(ModelFiles files, const HfwaOptions& options) {
  const at::NoGradGuard no_grad;
  auto impl = std::make_unique<Impl>(options);
  const absl::Status status = CatchTorchErrors([&] { return impl->Load(std::move(files)); });
  // A tensor that is not there contradicts the configuration as one of another shape does.
  if (absl::IsNotFound(status)) return absl::InvalidArgumentError(status.message());
  HFWA_RETURN_IF_ERROR(status);
  return std::unique_ptr<Hfwa>(new Hfwa(std::move(impl)));
}

absl::StatusOr<ForwardResult> Hfwa::Forward(const at::Tensor& images,
                                            absl::Span<const int> class_index,
                                            ForwardParts parts) const {
  const at::NoGradGuard no_grad;
  HFWA_RETURN_IF_ERROR(impl_->CheckInputs(images, class_index));
  return CatchTorchErrors([&]() -> absl::StatusOr<ForwardResult> {
    // On the CPU a larger batch is no faster, and matrix products round by their shape: one image
    // at a time keeps its bits the same whatever shares the batch. The copy makes its alignment the
    // same too.
    const int64_t batch = images.size(0), step = impl_->device().is_cpu() ? 1 : batch;
    const std::vector<int64_t> index(class_index.begin(), class_index.end());
    const at::Tensor classes = at::tensor(index, at::kLong).to(impl_->device());
    std::vector<ForwardResult> results;
    for (int64_t b = 0; b < batch; b += step) {
      const at::Tensor part =
          images.narrow(0, b, step).to(impl_->device(), at::kFloat, false, /*copy=*/true);
      results.push_back(impl_->Forward(part.contiguous(), classes.narrow(0, b, step), parts));
    }
    return ForwardResult{Join(results, &ForwardResult::text_probs),
                         Join(results, &ForwardResult::language_diff),
                         Join(results, &ForwardResult::tokens)};
  });
}

ForwardResult Hfwa::ForwardOnDevice(const at::Tensor& images, const at::Tensor& classes,
                                    ForwardParts parts) const {
  return impl_->Forward(images, classes, parts);
}

absl::Status Hfwa::CheckInputs(const at::Tensor& images, absl::Span<const int> class_index) const {
  return impl_->CheckInputs(images, class_index);
}

int Hfwa::ClassIndex(std::string_view class_name) const {
  const std::vector<std::string>& names = config().prompt.class_names;
  const auto found = std::find(names.begin(), names.end(), class_name);
  return found == names.end() ? 0 : static_cast<int>(found - names.begin());
}

const ModelConfig& Hfwa::config() const { return impl_->config(); }
const kernels::Kernels& Hfwa::kernels() const { return impl_->kernels(); }
const VisionTower& Hfwa::vision() const { return impl_->vision(); }
const at::Tensor& Hfwa::text_pairs() const { return impl_->text_pairs(); }
const std::string& Hfwa::config_json() const { return impl_->config_json(); }
const std::string& Hfwa::digest() const { return impl_->digest(); }
const HfwaOptions& Hfwa::options() const { return impl_->options(); }

std::string Hfwa::fingerprint() const {
  return absl::StrCat(digest(), "-", std::string(PrecisionName(options().precision)), "-",
                      impl_->device().is_cpu() ? "cpu" : "cuda");
}

}  // namespace hfwa::model
