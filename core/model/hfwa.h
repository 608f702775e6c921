#pragma once

// The HFWA model: hfwa-spec sections 3 to 8.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/kernels/kernels.h"
#include "core/model/config.h"
#include "core/model/prompts.h"
#include "core/model/trace.h"
#include "core/model/weights.h"

namespace hfwa::model {

class VisionTower;

// kInt8: the towers' and adapters' linear maps in int8, the rest in bf16 or, where the processor
// has none, fp32; on CPUs with AVX512-VNNI.
enum class Precision { kFp32, kBf16, kFp16, kInt8 };
absl::StatusOr<Precision> ParsePrecision(std::string_view name);  // "fp32", "bf16", "fp16", "int8"
std::string_view PrecisionName(Precision precision);
// bf16 on CUDA and on a CPU with AVX512-BF16 (all with AMX have it); elsewhere bf16 is emulated and
// slower than fp32.
Precision FastestPrecision(std::string_view device);

struct HfwaOptions {
  std::string device = "cpu";  // "cpu", "cuda" or "cuda:N"
  // Of the towers and adapters; norms, cosines, softmax, filter and sums are fp32 always, and so is
  // the text tower.
  Precision precision = Precision::kFp32;
  // Ids to use in place of the tokenizer's, for models whose vocabulary is not CLIP's.
  std::optional<PromptTokens> prompt_tokens;
  // Sees intermediate values of Create and Forward; empty in production.
  Trace trace;
  // Makes the kernels, whatever the precision, for tests; empty in production.
  std::function<std::unique_ptr<kernels::Kernels>(at::Device)> make_kernels;
};

// Which parts of the forward pass are wanted.
struct ForwardParts {
  bool language = true;  // adapters, text similarity; ignored where the model has no language side
  bool tokens = true;    // projected patch tokens for bank and matching
};

// B images, n levels, grid g, L = g * g patches, embedding E. All fp32 on the model's device.
struct ForwardResult {
  at::Tensor text_probs;     // [B, 2]; undefined without language
  at::Tensor language_diff;  // [B, n, g, g]: anomaly minus normal cosine (spec 6.5's shortcut);
                             // undefined without language
  at::Tensor tokens;  // [B, n, L, E]: unadapted, projected, L2-normalised (spec 3.7); undefined if
                      // not asked for
};

// Weights, text features and position biases, ready to run. Immutable after Create; Forward may be
// called by one thread at a time (it uses LibTorch's thread pool).
class Hfwa {
 public:
  // UNAVAILABLE when the device is not there, INVALID_ARGUMENT when weights and configuration
  // disagree.
  static absl::StatusOr<std::unique_ptr<Hfwa>> Create(ModelFiles files, const HfwaOptions& options);
  ~Hfwa();

  // `images` [B, 3, S, S] fp32 on the CPU or the model's device, normalised; `class_index` holds B
  // indices into the prompts' classes (ClassIndex). On the CPU each image's numbers are the same to
  // the bit whatever shares its batch. INTERNAL or RESOURCE_EXHAUSTED (device memory) carry
  // LibTorch's message.
  absl::StatusOr<ForwardResult> Forward(const at::Tensor& images, absl::Span<const int> class_index,
                                        ForwardParts parts = {}) const;

  // The same without its checks and copies, and as one batch on the CPU too: images [B, 3, S, S]
  // fp32 and classes [B] int64 on the model's device. Waits for nothing, so a graph can record it.
  // LibTorch's exceptions pass through.
  ForwardResult ForwardOnDevice(const at::Tensor& images, const at::Tensor& classes,
                                ForwardParts parts = {}) const;
  // INVALID_ARGUMENT where Forward does not take them.
  absl::Status CheckInputs(const at::Tensor& images, absl::Span<const int> class_index) const;

  // Spec 5.3: an unknown name is class 0.
  int ClassIndex(std::string_view class_name) const;

  const ModelConfig& config() const;
  // What the model computes with: banks that its tokens are matched against are made by them.
  const kernels::Kernels& kernels() const;
  // The frozen tower, for methods that look at images their own way.
  const VisionTower& vision() const;
  // The text pair of each class, normal first, of length one: [M, 2, E] fp32 on the model's device;
  // undefined without a language side.
  const at::Tensor& text_pairs() const;
  const std::string& config_json() const;
  // SHA-256 over the model's files, 64 hexadecimal digits; see also fingerprint().
  const std::string& digest() const;
  // What features are cached under: digest, precision and device kind.
  std::string fingerprint() const;
  const HfwaOptions& options() const;

 private:
  class Impl;
  explicit Hfwa(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hfwa::model
