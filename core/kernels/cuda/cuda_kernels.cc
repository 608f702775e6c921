#include "core/kernels/cuda/cuda_kernels.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "core/kernels/aten/aten_kernels.h"
#include "core/kernels/cuda/cuda_epilogue.h"
#include "core/kernels/cuda/cuda_linear.h"
#include "core/kernels/cuda/launcher.h"
#include "core/kernels/cuda/module_loader.h"
#include "core/kernels/cuda/row_pool.h"
#include "core/kernels/epilogue.h"

namespace hfwa::kernels {
namespace {

using cuda::Api;
using cuda::Bits;
using cuda::ConstBits;
using cuda::Launcher;

cuda::NormWeights WeightsOf(const Norm& norm) {
  return {norm.weight.const_data_ptr<float>(), norm.bias.const_data_ptr<float>(),
          static_cast<float>(norm.eps)};
}

// Of x [B, L, W] fp32, if its rows are whole and on 16 bytes.
template <typename T>
std::optional<cuda::Lines<T>> LinesOf(const at::Tensor& x) {
  const int64_t width = x.size(2);
  const bool aligned = reinterpret_cast<uintptr_t>(x.const_data_ptr()) % 16 == 0;
  if (x.scalar_type() != at::kFloat || x.stride(2) != 1 || width % 4 != 0 || x.stride(1) % 4 != 0 ||
      x.stride(0) % 4 != 0 || !aligned) {
    return std::nullopt;
  }
  return cuda::Lines<T>{static_cast<T*>(x.data_ptr()), x.size(1), x.stride(0),
                        static_cast<int32_t>(x.stride(1))};
}

class CudaKernels final : public AtenKernels {
 public:
  CudaKernels(const Api& api, at::Device device, at::ScalarType type)
      : AtenKernels(device, type),
        launcher_(api, device, type),
        pool_(std::make_shared<cuda::RowPool>(device)),
        epilogue_(MakeCudaEpilogue(launcher_)) {}

  std::string name() const override { return "hfwa CUDA module"; }
  const Epilogue* epilogue() const override { return epilogue_.get(); }

  std::unique_ptr<Linear> PackLinear(const LinearWeights& weights) const override {
    if (!CudaLinear::Takes(weights)) return AtenKernels::PackLinear(weights);
    return std::make_unique<CudaLinear>(weights, launcher_, compute_type());
  }

  std::unique_ptr<Mlp> PackMlp(const std::vector<LinearWeights>& layers,
                               Activation activation) const override {
    if (!std::all_of(layers.begin(), layers.end(), CudaLinear::Takes))
      return AtenKernels::PackMlp(layers, activation);
    return std::make_unique<CudaMlp>(layers, activation, launcher_, compute_type());
  }

  at::Tensor LayerNormForLinear(const at::Tensor& x, const Norm& norm) const override {
    if (!TakesRows(x.size(-1))) return AtenKernels::LayerNormForLinear(x, norm);
    at::Tensor in = x.to(at::kFloat).contiguous();
    return Normed(in, {}, {}, norm);
  }

  at::Tensor AddThenNorm(const Linear& map, at::Tensor& sum, const at::Tensor& x,
                         const Norm& norm) const override {
    const auto* linear = dynamic_cast<const CudaLinear*>(&map);
    if (linear == nullptr || !TakesRows(sum.size(-1)))
      return Kernels::AddThenNorm(map, sum, x, norm);
    return Normed(sum, linear->Product(x), linear->bias(), norm);
  }

  at::Tensor AddThenNorm(const Mlp& map, at::Tensor& sum, const at::Tensor& x,
                         const Norm& norm) const override {
    const auto* mlp = dynamic_cast<const CudaMlp*>(&map);
    if (mlp == nullptr || !TakesRows(sum.size(-1))) return Kernels::AddThenNorm(map, sum, x, norm);
    return Normed(sum, mlp->last().Product(mlp->Hidden(x)), mlp->last().bias(), norm);
  }

  Tokens TokensOf(const at::Tensor& x) const override {
    const auto lines = LinesOf<const float>(x);
    if (!lines.has_value()) return {x, x.to(compute_type())};
    const at::Tensor rounded = at::empty(x.sizes(), x.options().dtype(compute_type()));
    const cuda::RoundTask task{.x = *lines,
                               .rounded = Bits(rounded),
                               .rows = x.size(0) * x.size(1),
                               .width = static_cast<int32_t>(x.size(2))};
    launcher_.Run([&](const Api& api, cuda::Type type, void* stream) {
      return api.round(&task, type, stream);
    });
    return {x, rounded};
  }

  Tokens AddNormed(const at::Tensor& x, const at::Tensor& branch, const Norm& norm) const override {
    const auto lines = LinesOf<const float>(x);
    if (!lines.has_value() || !TakesRows(x.size(2)) || branch.scalar_type() != compute_type()) {
      const at::Tensor sum = Kernels::AddNormed(x, branch, norm).value;
      return {sum, sum.to(compute_type())};
    }
    const at::Tensor in = branch.contiguous();
    Tokens sum{at::empty(x.sizes(), x.options()),
               at::empty(x.sizes(), x.options().dtype(compute_type()))};
    const cuda::BranchTask task{.x = *lines,
                                .branch = ConstBits(in),
                                .norm = WeightsOf(norm),
                                .sum = sum.value.data_ptr<float>(),
                                .rounded = Bits(sum.for_linear),
                                .rows = x.size(0) * x.size(1),
                                .width = static_cast<int32_t>(x.size(2))};
    launcher_.Run([&](const Api& api, cuda::Type type, void* stream) {
      return api.add_normed(&task, type, stream);
    });
    return sum;
  }

  void ToUnitLength(const at::Tensor& x, at::Tensor& unit) const override {
    const auto lines = LinesOf<float>(unit);
    if (!lines.has_value() || !TakesRows(x.size(2)) || x.scalar_type() != compute_type())
      return Kernels::ToUnitLength(x, unit);
    const at::Tensor in = x.contiguous();
    const cuda::UnitTask task{.x = ConstBits(in),
                              .unit = *lines,
                              .rows = x.size(0) * x.size(1),
                              .width = static_cast<int32_t>(x.size(2))};
    launcher_.Run([&](const Api& api, cuda::Type type, void* stream) {
      return api.unit(&task, type, stream);
    });
  }

  at::Tensor Cosines(const at::Tensor& x, const at::Tensor& pairs) const override {
    if (!TakesRows(x.size(2)) || x.scalar_type() != compute_type())
      return Kernels::Cosines(x, pairs);
    const at::Tensor in = x.contiguous(), sides = pairs.contiguous();
    at::Tensor cosines = at::empty({x.size(0), 2, x.size(1)}, pairs.options());
    const cuda::CosineTask task{.x = ConstBits(in),
                                .pairs = sides.const_data_ptr<float>(),
                                .cosines = cosines.data_ptr<float>(),
                                .rows = x.size(0) * x.size(1),
                                .tokens = static_cast<int32_t>(x.size(1)),
                                .width = static_cast<int32_t>(x.size(2))};
    launcher_.Run([&](const Api& api, cuda::Type type, void* stream) {
      return api.cosines(&task, type, stream);
    });
    return cosines;
  }

  at::Tensor AttendInWindows(const at::Tensor& x, const WindowAttention& a) const override {
    const int64_t width = x.size(2), inside = static_cast<int64_t>(a.window) * a.window;
    const int64_t head_width = width / a.heads, parts = a.value_only ? 1 : 3;
    if (inside > cuda::WindowTask::kInsideMax || head_width > cuda::WindowTask::kHeadWidthMax ||
        head_width % 16 != 0) {
      return Kernels::AttendInWindows(x, a);
    }
    const at::Tensor in = a.in_proj->Apply(x).to(compute_type()).contiguous();
    const at::Tensor scale = a.scale.contiguous(), bias = a.bias.contiguous();
    const at::Tensor out = at::empty({x.size(0), x.size(1), width}, in.options());
    const cuda::WindowTask task{.in = ConstBits(in),
                                .order = a.order.const_data_ptr<int64_t>(),
                                .scale = scale.const_data_ptr<float>(),
                                .bias = bias.const_data_ptr<float>(),
                                .out = Bits(out),
                                .images = static_cast<int32_t>(x.size(0)),
                                .tokens = static_cast<int32_t>(x.size(1)),
                                .inside = static_cast<int32_t>(inside),
                                .heads = a.heads,
                                .head_width = static_cast<int32_t>(head_width),
                                .parts = static_cast<int32_t>(parts),
                                .bias_windows = static_cast<int32_t>(bias.size(0))};
    launcher_.Run([&](const Api& api, cuda::Type type, void* stream) {
      return api.attend_windows(&task, type, stream);
    });
    return a.out_proj->Apply(out);
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
    return MakeCudaRows(pool_->Take(count, width), launcher_);
  }

 private:
  static bool TakesRows(int64_t width) { return width % 4 == 0 && width <= cuda::kNormWidthMax; }

  // sum += branch + bias, if there is a branch; its norm.
  at::Tensor Normed(at::Tensor& sum, const at::Tensor& branch, const at::Tensor& bias,
                    const Norm& norm) const {
    at::Tensor y = at::empty(sum.sizes(), sum.options().dtype(compute_type()));
    const int64_t width = sum.size(-1);
    const cuda::NormTask task{
        .x = sum.data_ptr<float>(),
        .branch = branch.defined() ? ConstBits(branch) : nullptr,
        .branch_bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr,
        .norm = WeightsOf(norm),
        .y = Bits(y),
        .rows = sum.numel() / width,
        .width = static_cast<int32_t>(width)};
    launcher_.Run([&](const Api& api, cuda::Type type, void* stream) {
      return api.layer_norm(&task, type, stream);
    });
    return y;
  }

  const Launcher launcher_;
  const std::shared_ptr<cuda::RowPool> pool_;
  const std::unique_ptr<const Epilogue> epilogue_;
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

std::unique_ptr<Kernels> MakeCudaKernels(const Api& api, at::Device device, at::ScalarType type) {
  return std::make_unique<CudaKernels>(api, device, type);
}

std::unique_ptr<Kernels> MakeGpuKernels(at::Device device, at::ScalarType type) {
  std::string why;
  if (const Api* api = cuda::LoadModule(&why)) return MakeCudaKernels(*api, device, type);
  return std::make_unique<ModulelessKernels>(device, type, std::move(why));
}

}  // namespace hfwa::kernels
