#include "core/kernels/cuda/cuda_kernels.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "core/kernels/aten/aten_kernels.h"
#include "core/kernels/cuda/module_loader.h"
#include "core/kernels/cuda/numbers.h"
#include "core/kernels/cuda/row_pool.h"
#include "core/kernels/epilogue.h"
#include "core/kernels/gaussian.h"

namespace hfwa::kernels {
namespace {

using cuda::Api;

// The module's functions on one device, on LibTorch's current stream of it.
class Launcher {
 public:
  Launcher(const Api& api, at::Device device, at::ScalarType type)
      : api_(api),
        device_(device),
        type_(type == at::kHalf ? cuda::Type::kFp16 : cuda::Type::kBf16) {}

  // launch(api, type, stream) returns an error code.
  template <typename Launch>
  void Run(const Launch& launch) const {
    const c10::OptionalDeviceGuard guard(device_);
    void* stream = nullptr;
    if (!device_.is_cpu()) {
      stream = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_).native_handle();
    }
    const int error = launch(api_, type_, stream);
    TORCH_CHECK(error == 0, "CUDA error: ", api_.error_name(error));
  }

  at::Device device() const { return device_; }

 private:
  const Api& api_;
  const at::Device device_;
  const cuda::Type type_;
};

uint16_t* Bits(const at::Tensor& x) { return static_cast<uint16_t*>(x.mutable_data_ptr()); }
const uint16_t* ConstBits(const at::Tensor& x) {
  return static_cast<const uint16_t*>(x.const_data_ptr());
}

cuda::BiasTask TaskOf(const at::Tensor& y, const at::Tensor& bias, float* sum) {
  const int64_t width = y.size(-1);
  return {.y = Bits(y),
          .bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr,
          .sum = sum,
          .rows = y.numel() / width,
          .width = static_cast<int32_t>(width)};
}

cuda::Function FunctionOf(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return cuda::Function::kNone;
    case Activation::kQuickGelu:
      return cuda::Function::kQuickGelu;
    case Activation::kGelu:
      return cuda::Function::kGelu;
    case Activation::kRelu:
      return cuda::Function::kRelu;
  }
  return cuda::Function::kNone;
}

bool Takes(const LinearWeights& weights) { return weights.weight.size(0) % 4 == 0; }

class CudaLinear final : public Linear {
 public:
  CudaLinear(const LinearWeights& weights, const Launcher& launcher, at::ScalarType type)
      : launcher_(launcher),
        type_(type),
        weight_(weights.weight.to(launcher.device(), type).contiguous()) {
    if (!weights.bias.defined()) return;
    bias_ = weights.bias.to(launcher.device(), at::kFloat).contiguous();
    rounded_bias_ = bias_.to(type);
  }

  at::Tensor Apply(const at::Tensor& x) const override {
    std::optional<at::Tensor> bias;
    if (rounded_bias_.defined()) bias = rounded_bias_;
    return at::linear(x.to(launcher_.device(), type_), weight_, bias);
  }

  void AddTo(at::Tensor& sum, const at::Tensor& x) const override {
    const at::Tensor y = Product(x);
    launcher_.Run([&, task = TaskOf(y, bias_, sum.data_ptr<float>())](
                      const Api& api, cuda::Type type, void* stream) {
      return api.add_residual(&task, type, stream);
    });
  }

  // function(Apply(x)), the bias unrounded.
  at::Tensor ApplyWith(Activation activation, const at::Tensor& x) const {
    at::Tensor y = Product(x);
    launcher_.Run(
        [&, task = TaskOf(y, bias_, nullptr)](const Api& api, cuda::Type type, void* stream) {
          return api.activate(&task, type, FunctionOf(activation), stream);
        });
    return y;
  }

 private:
  at::Tensor Product(const at::Tensor& x) const {
    return at::linear(x.to(launcher_.device(), type_), weight_).contiguous();
  }

  const Launcher& launcher_;
  const at::ScalarType type_;
  const at::Tensor weight_;
  at::Tensor bias_;  // fp32, or undefined
  at::Tensor rounded_bias_;
};

class CudaMlp final : public Mlp {
 public:
  CudaMlp(const std::vector<LinearWeights>& layers, Activation activation, const Launcher& launcher,
          at::ScalarType type)
      : activation_(activation) {
    for (const LinearWeights& layer : layers)
      layers_.push_back(std::make_unique<CudaLinear>(layer, launcher, type));
  }
  at::Tensor Apply(const at::Tensor& x) const override { return layers_.back()->Apply(Hidden(x)); }
  void AddTo(at::Tensor& sum, const at::Tensor& x) const override {
    layers_.back()->AddTo(sum, Hidden(x));
  }

 private:
  at::Tensor Hidden(const at::Tensor& x) const {
    at::Tensor y = x;
    for (size_t i = 0; i + 1 < layers_.size(); ++i) y = layers_[i]->ApplyWith(activation_, y);
    return y;
  }

  const Activation activation_;
  std::vector<std::unique_ptr<CudaLinear>> layers_;
};

at::Tensor Maxima(const Launcher& launcher, const std::vector<RowMatch>& matches);

class CudaRows final : public Rows {
 public:
  CudaRows(cuda::RowPool::Rows rows, const Launcher& launcher)
      : launcher_(launcher), rows_(std::move(rows)) {}

  void Put(int64_t first, const at::Tensor& rows) override {
    rows_.values.narrow(0, first, rows.size(0)).copy_(rows);
  }
  at::Tensor Get(int64_t first, int64_t count) const override {
    return rows_.values.narrow(0, first, count).to(at::kFloat);
  }
  at::Tensor Maximum(const at::Tensor& tokens, int64_t first, int64_t count) const override {
    return Maxima(launcher_, {{tokens, this, first, count}});
  }
  int64_t bytes() const override { return static_cast<int64_t>(rows_.values.nbytes()); }

  const at::Tensor& values() const { return rows_.values; }

 private:
  const Launcher& launcher_;
  const cuda::RowPool::Rows rows_;
};

// Of rows that the module does not take.
at::Tensor MaximaOneByOne(const std::vector<RowMatch>& matches) {
  std::vector<at::Tensor> maxima;
  maxima.reserve(matches.size());
  for (const RowMatch& match : matches)
    maxima.push_back(match.rows->Maximum(match.tokens.to(at::kFloat), match.first, match.count));
  return at::cat(maxima);
}

at::Tensor Maxima(const Launcher& launcher, const std::vector<RowMatch>& matches) {
  std::vector<at::Tensor> tokens;  // alive until the launch is queued
  int64_t total = 0;
  for (const RowMatch& match : matches) {
    if (dynamic_cast<const CudaRows*>(match.rows) == nullptr) return MaximaOneByOne(matches);
    tokens.push_back(match.tokens.to(at::kHalf).contiguous());
    total += match.tokens.size(0);
  }
  at::Tensor maxima = at::empty({total}, at::device(launcher.device()).dtype(at::kFloat));
  std::vector<cuda::MatchTask> tasks;
  float* maximum = maxima.data_ptr<float>();
  for (size_t i = 0; i < matches.size(); ++i) {
    const at::Tensor& rows = dynamic_cast<const CudaRows&>(*matches[i].rows).values();
    TORCH_CHECK(rows.size(1) == tokens[i].size(1), "tokens and rows differ in width");
    tasks.push_back({.tokens = ConstBits(tokens[i]),
                     .rows = ConstBits(rows) + matches[i].first * rows.size(1),
                     .maximum = maximum,
                     .token_count = static_cast<int32_t>(tokens[i].size(0)),
                     .row_count = static_cast<int32_t>(matches[i].count)});
    maximum += tokens[i].size(0);
  }
  launcher.Run([&](const Api& api, cuda::Type, void* stream) {
    const auto width = static_cast<int>(tokens.front().size(1));
    return api.match(tasks.data(), static_cast<int>(tasks.size()), width, stream);
  });
  return maxima;
}

// The filter's weights; without a filter, a map is its own.
std::vector<double> WeightsOf(const MapSpec& spec) {
  return spec.sigma.has_value() ? GaussianWeights(*spec.sigma) : std::vector<double>{1.0};
}

class CudaEpilogue final : public Epilogue {
 public:
  explicit CudaEpilogue(const Launcher& launcher) : launcher_(launcher) {}

  at::Tensor Maxima(const std::vector<RowMatch>& matches) const override {
    return kernels::Maxima(launcher_, matches);
  }

  bool Takes(const MapSpec& spec) const override {
    // Of shared memory a block has 48 KB without asking.
    return WeightsOf(spec).size() <= cuda::MapTask::kRadiusMax + 1 && spec.size <= kSizeMax;
  }

  CombinedMaps Combine(const MapSpec& spec, const at::Tensor& language_diff,
                       const at::Tensor& few) const override {
    const at::Tensor diff = language_diff.defined() ? language_diff.contiguous() : at::Tensor();
    const at::Tensor visual = few.defined() ? few.contiguous() : at::Tensor();
    const at::Tensor& some = diff.defined() ? diff : visual;
    const int64_t batch = some.size(0), size = spec.size;
    CombinedMaps maps{.map = at::empty({batch, size, size}, some.options()),
                      .keys = at::empty({batch}, some.options().dtype(at::kInt))};
    const at::Tensor between = at::empty_like(maps.map);
    const std::vector<double> weights = WeightsOf(spec);
    cuda::MapTask task{.language_diff = diff.defined() ? diff.const_data_ptr<float>() : nullptr,
                       .few = visual.defined() ? visual.const_data_ptr<float>() : nullptr,
                       .between = between.data_ptr<float>(),
                       .map = maps.map.data_ptr<float>(),
                       .maximum = static_cast<uint32_t*>(maps.keys.mutable_data_ptr()),
                       .batch = static_cast<int32_t>(batch),
                       .levels = static_cast<int32_t>(some.size(1)),
                       .grid = static_cast<int32_t>(some.size(2)),
                       .size = spec.size,
                       .radius = static_cast<int32_t>(weights.size()) - 1,
                       .weights = {}};
    std::copy(weights.begin(), weights.end(), std::begin(task.weights));
    launcher_.Run(
        [&](const Api& api, cuda::Type, void* stream) { return api.combine_maps(&task, stream); });
    return maps;
  }

  at::Tensor Colour(const at::Tensor& maps, const std::vector<float>& low,
                    const std::vector<float>& high, const at::Tensor& colours) const override {
    const int64_t batch = maps.size(0);
    std::vector<float> ranges = low;  // then the scales
    for (size_t b = 0; b < low.size(); ++b)
      ranges.push_back(high[b] > low[b] ? 255.0F / (high[b] - low[b]) : 0.0F);
    const at::Tensor values = maps.contiguous();
    const at::Tensor range = at::tensor(ranges).to(launcher_.device());
    const at::Tensor table = colours.to(launcher_.device()).contiguous();
    at::Tensor rgb =
        at::empty({batch, maps.size(1), maps.size(2), 3}, values.options().dtype(at::kByte));
    const cuda::ColourTask task{.map = values.const_data_ptr<float>(),
                                .low = range.const_data_ptr<float>(),
                                .scale = range.const_data_ptr<float>() + batch,
                                .colours = table.const_data_ptr<uint8_t>(),
                                .rgb = rgb.data_ptr<uint8_t>(),
                                .batch = static_cast<int32_t>(batch),
                                .pixels = static_cast<int32_t>(maps.size(1) * maps.size(2))};
    launcher_.Run(
        [&](const Api& api, cuda::Type, void* stream) { return api.colour(&task, stream); });
    return rgb;
  }

 private:
  static constexpr int kSizeMax = 2048;

  const Launcher& launcher_;
};

class CudaKernels final : public AtenKernels {
 public:
  CudaKernels(const Api& api, at::Device device, at::ScalarType type)
      : AtenKernels(device, type),
        launcher_(api, device, type),
        pool_(std::make_shared<cuda::RowPool>(device)),
        epilogue_(launcher_) {}

  std::string name() const override { return "hfwa CUDA module"; }
  const Epilogue* epilogue() const override { return &epilogue_; }

  std::unique_ptr<Linear> PackLinear(const LinearWeights& weights) const override {
    if (!Takes(weights)) return AtenKernels::PackLinear(weights);
    return std::make_unique<CudaLinear>(weights, launcher_, compute_type());
  }

  std::unique_ptr<Mlp> PackMlp(const std::vector<LinearWeights>& layers,
                               Activation activation) const override {
    if (!std::all_of(layers.begin(), layers.end(), Takes))
      return AtenKernels::PackMlp(layers, activation);
    return std::make_unique<CudaMlp>(layers, activation, launcher_, compute_type());
  }

  at::Tensor LayerNormForLinear(const at::Tensor& x, const Norm& norm) const override {
    const int64_t width = x.size(-1);
    if (width % 4 != 0) return AtenKernels::LayerNormForLinear(x, norm);
    const at::Tensor in = x.to(at::kFloat).contiguous();
    at::Tensor y = at::empty(in.sizes(), in.options().dtype(compute_type()));
    const cuda::NormTask task{.x = in.const_data_ptr<float>(),
                              .weight = norm.weight.const_data_ptr<float>(),
                              .bias = norm.bias.const_data_ptr<float>(),
                              .y = Bits(y),
                              .rows = in.numel() / width,
                              .width = static_cast<int32_t>(width),
                              .eps = static_cast<float>(norm.eps)};
    launcher_.Run([&](const Api& api, cuda::Type type, void* stream) {
      return api.layer_norm(&task, type, stream);
    });
    return y;
  }

  // The fused attention reads heads where they stand and writes them side by side.
  at::Tensor Attention(const at::Tensor& qkv, int heads, bool causal) const override {
    const int64_t batch = qkv.size(0), tokens = qkv.size(1), width = qkv.size(2) / 3;
    const at::Tensor parts = qkv.to(compute_type())
                                 .view({batch, tokens, 3, heads, width / heads})
                                 .permute({2, 0, 3, 1, 4});
    const at::Tensor y = at::scaled_dot_product_attention(parts.select(0, 0), parts.select(0, 1),
                                                          parts.select(0, 2), {}, 0.0, causal);
    return y.transpose(1, 2).reshape({batch, tokens, width});
  }

  std::unique_ptr<Rows> MakeRows(int64_t count, int64_t width) const override {
    if (width % 8 != 0) return AtenKernels::MakeRows(count, width);
    return std::make_unique<CudaRows>(pool_->Take(count, width), launcher_);
  }

 private:
  const Launcher launcher_;
  const std::shared_ptr<cuda::RowPool> pool_;
  const CudaEpilogue epilogue_;
};

// LibTorch's operators, because the module is not there.
class ModulelessKernels final : public AtenKernels {
 public:
  ModulelessKernels(at::Device device, at::ScalarType type, std::string why)
      : AtenKernels(device, type), why_(std::move(why)) {}
  std::string name() const override { return "LibTorch, without hfwa's CUDA module: " + why_; }

 private:
  const std::string why_;
};

}  // namespace

std::vector<float> MaximaOf(const CombinedMaps& maps) {
  const at::Tensor keys = maps.keys.cpu();
  const auto* key = static_cast<const uint32_t*>(keys.const_data_ptr());
  std::vector<float> maxima;
  for (int64_t b = 0; b < keys.numel(); ++b) maxima.push_back(cuda::FromKey(key[b]));
  return maxima;
}

std::unique_ptr<Kernels> MakeCudaKernels(const Api& api, at::Device device, at::ScalarType type) {
  return std::make_unique<CudaKernels>(api, device, type);
}

std::unique_ptr<Kernels> MakeGpuKernels(at::Device device, at::ScalarType type) {
  std::string why;
  if (const Api* api = cuda::LoadModule(&why)) return MakeCudaKernels(*api, device, type);
  return std::make_unique<ModulelessKernels>(device, type, std::move(why));
}

}  // namespace hfwa::kernels
