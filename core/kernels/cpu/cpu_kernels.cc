#include "core/kernels/cpu/cpu_kernels.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "core/kernels/aten/aten_kernels.h"
#include "core/kernels/cpu/avx512.h"
#include "core/kernels/cpu/avx512_linear.h"
#include "core/kernels/cpu/tasks.h"
#include "core/kernels/windows.h"

namespace hfwa::kernels {
namespace {

using avx512::Avx512;

// Query rows that one task of Attention takes: small enough that many threads share a head, a
// multiple of the kernel's tile.
constexpr int64_t kRowsPerTask = 96;
constexpr int64_t kNormRowsPerTask = 32;
constexpr int64_t kTokensPerTask = 24;

template <typename T>
class Avx512Rows final : public Rows {
 public:
  Avx512Rows(int64_t count, int64_t width)
      : shape_{.count = count, .width = width},
        packed_(at::zeros({static_cast<int64_t>(shape_.packed_size())}, TypeOf<T>())) {}

  void Put(int64_t first, const at::Tensor& rows) override {
    const at::Tensor values = rows.to(at::kFloat).contiguous();
    Avx512<T>::PackRows(shape_, values.const_data_ptr<float>(), first, values.size(0),
                        MutableValues<T>(packed_));
  }

  at::Tensor Get(int64_t first, int64_t count) const override {
    at::Tensor values = at::empty({count, shape_.width});
    Avx512<T>::UnpackRows(shape_, Values<T>(packed_), first, count, values.data_ptr<float>());
    return values;
  }

  at::Tensor Maximum(const at::Tensor& tokens, int64_t first, int64_t count) const override {
    const at::Tensor rounded = tokens.to(TypeOf<T>()).contiguous();
    at::Tensor best = at::empty({rounded.size(0)}, at::kFloat);
    const int64_t chunk = std::max(kTokensPerTask, rounded.size(0) / (4 * at::get_num_threads()));
    ForEachTask((rounded.size(0) + chunk - 1) / chunk, 0, [&](int64_t task, void* /*scratch*/) {
      const int64_t begin = task * chunk;
      Avx512<T>::RowMaximum(shape_, Values<T>(packed_), first, first + count,
                            Values<T>(rounded) + begin * shape_.width,
                            std::min(chunk, rounded.size(0) - begin),
                            best.data_ptr<float>() + begin);
    });
    return best;
  }

  int64_t bytes() const override { return static_cast<int64_t>(packed_.nbytes()); }

 private:
  const avx512::PackedRows shape_;
  const at::Tensor packed_;
};

template <typename T>
class Avx512Kernels final : public AtenKernels {
 public:
  Avx512Kernels(Products products, Registers registers)
      : AtenKernels(at::kCPU, TypeOf<T>()), products_(products), registers_(registers) {}

  std::unique_ptr<Linear> PackLinear(const LinearWeights& weights) const override {
    std::unique_ptr<Linear> own = MakeOwn(weights, Activation::kNone);
    return own != nullptr ? std::move(own) : AtenKernels::PackLinear(weights);
  }

  std::unique_ptr<Mlp> PackMlp(const std::vector<LinearWeights>& layers,
                               Activation activation) const override {
    std::vector<std::unique_ptr<Linear>> own;
    for (size_t i = 0; i < layers.size(); ++i) {
      own.push_back(MakeOwn(layers[i], i + 1 < layers.size() ? activation : Activation::kNone));
      if (own.back() == nullptr) return AtenKernels::PackMlp(layers, activation);
    }
    return std::make_unique<Chain>(std::move(own));
  }

  at::Tensor LayerNormForLinear(const at::Tensor& x, const Norm& norm) const override {
    const int64_t width = x.size(-1);
    if (width % 16 != 0) return AtenKernels::LayerNormForLinear(x, norm);
    const at::Tensor in = x.to(at::kFloat).contiguous();
    at::Tensor y = at::empty(in.sizes(), TypeOf<T>());
    at::parallel_for(0, in.numel() / width, kNormRowsPerTask, [&](int64_t begin, int64_t end) {
      Avx512<T>::Norm(in.const_data_ptr<float>() + begin * width,
                      norm.weight.const_data_ptr<float>(), norm.bias.const_data_ptr<float>(),
                      static_cast<float>(norm.eps), end - begin, width,
                      MutableValues<T>(y) + begin * width);
    });
    return y;
  }

  std::unique_ptr<Rows> MakeRows(int64_t count, int64_t width) const override {
    if (!TakesWidth<T>(width)) return AtenKernels::MakeRows(count, width);
    return std::make_unique<Avx512Rows<T>>(count, width);
  }

  at::Tensor Attention(const at::Tensor& qkv, int heads, bool causal) const override {
    const int64_t batch = qkv.size(0), tokens = qkv.size(1), width = qkv.size(2) / 3;
    const avx512::Attention shape{.tokens = tokens,
                                  .heads = heads,
                                  .head_dim = width / heads,
                                  .stride = 3 * width,
                                  .q = 0,
                                  .k = width,
                                  .v = 2 * width};
    if (causal || shape.head_dim % 16 != 0) return AtenKernels::Attention(qkv, heads, causal);
    const at::Tensor in = qkv.to(TypeOf<T>()).contiguous();
    at::Tensor out = at::empty({batch, tokens, width}, in.options());
    const auto image = [&](int64_t b) { return Values<T>(in) + b * tokens * 3 * width; };

    const auto packed_size = static_cast<int64_t>(Avx512<T>::PackedHeadSize(shape));
    const at::Tensor packed = at::empty({batch * heads, packed_size}, in.options());
    ForEachTask(batch * heads, 0, [&](int64_t task, void* /*scratch*/) {
      Avx512<T>::PackHead(shape, image(task / heads), task % heads,
                          MutableValues<T>(packed) + task * packed_size);
    });
    const int64_t chunks = (tokens + kRowsPerTask - 1) / kRowsPerTask;
    ForEachTask(
        batch * heads * chunks, Avx512<T>::AttendScratch(shape), [&](int64_t task, void* scratch) {
          const int64_t head = task / chunks, first = task % chunks * kRowsPerTask;
          Avx512<T>::AttendRows(shape, image(head / heads), head % heads,
                                Values<T>(packed) + head * packed_size, nullptr, first,
                                std::min(first + kRowsPerTask, tokens),
                                MutableValues<T>(out) + head / heads * tokens * width, scratch);
        });
    return out;
  }

  at::Tensor AttendWindows(const at::Tensor& x, const WindowAttention& a) const override {
    const int64_t width = x.size(2), inside = static_cast<int64_t>(a.window) * a.window;
    const int64_t parts = a.value_only ? 1 : 3;
    const avx512::Attention shape{.tokens = inside,
                                  .heads = a.heads,
                                  .head_dim = width / a.heads,
                                  .stride = parts * width,
                                  .q = 0,
                                  .k = a.value_only ? 0 : width,
                                  .v = (parts - 1) * width};
    if (shape.head_dim % 16 != 0 || x.scalar_type() != at::kFloat)
      return AtenKernels::AttendWindows(x, a);
    const at::Tensor projected = a.in_proj->Apply(GatherWindows(x, a)).contiguous();
    at::Tensor out = at::empty({projected.size(0), inside, width}, projected.options());

    const at::Tensor scale = a.scale.contiguous(), bias = a.bias.contiguous();
    // A thread's memory: factors of queries and keys, packed keys and values, what AttendRows
    // wants.
    const size_t factor_bytes = static_cast<size_t>(inside) * sizeof(float);
    const size_t packed_size = Avx512<T>::PackedHeadSize(shape);
    const size_t scratch_bytes =
        2 * factor_bytes + packed_size * sizeof(T) + Avx512<T>::AttendScratch(shape);
    ForEachTask(projected.size(0) * a.heads, scratch_bytes, [&](int64_t task, void* memory) {
      auto* q_factors = static_cast<float*>(memory);
      float* k_factors = q_factors + inside;
      auto* packed = reinterpret_cast<T*>(k_factors + inside);
      void* scratch = packed + packed_size;
      const int64_t window = task / a.heads, head = task % a.heads;
      const T* in = Values<T>(projected) + window * inside * shape.stride;
      Avx512<T>::InverseNorms(shape, in, shape.q, head, scale.const_data_ptr<float>()[head],
                              q_factors);
      Avx512<T>::InverseNorms(shape, in, shape.k, head, 1, k_factors);
      const int64_t bias_of = (window % bias.size(0) * a.heads + head) * inside * inside;
      const avx512::Cosine cosine{.q_factors = q_factors,
                                  .k_factors = k_factors,
                                  .bias = bias.const_data_ptr<float>() + bias_of};
      Avx512<T>::PackHead(shape, in, head, packed);
      Avx512<T>::AttendRows(shape, in, head, packed, &cosine, 0, inside,
                            MutableValues<T>(out) + window * inside * width, scratch);
    });
    return a.out_proj->Apply(out);
  }

 private:
  // Null where the library's must do.
  std::unique_ptr<Linear> MakeOwn(const LinearWeights& weights, Activation activation) const {
    const int64_t width = weights.weight.size(1);
    if (products_ == Products::kInt8 && !weights.sensitive && width % 4 == 0)
      return MakeInt8Linear<T>(weights, activation, registers_);
    if (products_ == Products::kLibrary || !TakesWidth<T>(width)) return nullptr;
    return MakeAvx512Linear<T>(weights, activation, registers_);
  }

  // CutWindows, as T: [B * windows, N, W].
  static at::Tensor GatherWindows(const at::Tensor& x, const WindowAttention& a) {
    const int64_t batch = x.size(0), length = x.size(1), width = x.size(2);
    const int64_t inside = static_cast<int64_t>(a.window) * a.window;
    const at::Tensor plain = x.contiguous();
    at::Tensor windows = at::empty({batch * length / inside, inside, width}, TypeOf<T>());
    at::parallel_for(0, batch * length, kNormRowsPerTask, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end;) {  // a run of rows of one image
        const int64_t image = i / length, run = std::min(end, (image + 1) * length) - i;
        Avx512<T>::Gather(plain.const_data_ptr<float>() + image * length * width,
                          a.order.const_data_ptr<int64_t>() + i % length, run, width,
                          MutableValues<T>(windows) + i * width);
        i += run;
      }
    });
    return windows;
  }

  const Products products_;
  const Registers registers_;
};

bool HasAvx512() {
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512dq") != 0;
}

}  // namespace

bool HasTiles() {
  constexpr unsigned kTileBits = 1U << 22 | 1U << 24 | 1U << 25;  // bf16, tiles, int8
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTileBits) != kTileBits) return false;
  // Linux: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA).
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

Products FasterProducts(at::ScalarType type) {
  return type == at::kBFloat16 && HasTiles() ? Products::kLibrary : Products::kOwn;
}

std::unique_ptr<Kernels> MakeAvx512Kernels(at::ScalarType type, Products products) {
  if (!HasAvx512()) return nullptr;
  if (products == Products::kInt8 && __builtin_cpu_supports("avx512vnni") == 0) return nullptr;
  if (type == at::kFloat)
    return std::make_unique<Avx512Kernels<float>>(products, Registers::kVectors);
  if (type == at::kBFloat16 && __builtin_cpu_supports("avx512bf16") != 0)
    return std::make_unique<Avx512Kernels<uint16_t>>(
        products, HasTiles() ? Registers::kTiles : Registers::kVectors);
  return nullptr;
}

}  // namespace hfwa::kernels
