#include "core/kernels/cpu/cpu_kernels.h"

#include <cpuid.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "core/kernels/aten/aten_kernels.h"
#include "core/kernels/cpu/avx512_bf16.h"
#include "core/kernels/windows.h"

namespace hfwa::kernels {
namespace {

// Query rows that one task of Attention takes: small enough that many threads share a head, a
// multiple of the kernel's tile.
constexpr int64_t kRowsPerTask = 96;
constexpr int64_t kNormRowsPerTask = 32;
constexpr int64_t kTokensPerTask = 24;

const uint16_t* Bits(const at::Tensor& x) {
  return static_cast<const uint16_t*>(x.const_data_ptr());
}
uint16_t* MutableBits(const at::Tensor& x) { return static_cast<uint16_t*>(x.mutable_data_ptr()); }

// Runs work(task, scratch) for tasks 0 to count - 1, each once; a thread takes the next when it has
// done one, so that one that other programs hold up holds up the rest by a task at most. `scratch`
// is memory of the thread's own.
template <typename Work>
void ForEachTask(int64_t count, size_t scratch_bytes, const Work& work) {
  std::atomic<int64_t> next = 0;
  at::parallel_for(0, std::min<int64_t>(count, at::get_num_threads()), 1, [&](int64_t, int64_t) {
    const at::Tensor scratch = at::empty({static_cast<int64_t>(scratch_bytes)}, at::kByte);
    for (int64_t task = next++; task < count; task = next++) work(task, scratch.mutable_data_ptr());
  });
}

avx512_bf16::Activation Fused(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return avx512_bf16::Activation::kNone;
    case Activation::kQuickGelu:
      return avx512_bf16::Activation::kQuickGelu;
    case Activation::kGelu:
      return avx512_bf16::Activation::kGelu;
    case Activation::kRelu:
      return avx512_bf16::Activation::kRelu;
  }
  return avx512_bf16::Activation::kNone;
}

// A linear map with its bias, and an activation after it.
class Avx512Bf16Linear final : public Linear {
 public:
  Avx512Bf16Linear(const LinearWeights& weights, Activation activation)
      : shape_{.count = weights.weight.size(0), .width = weights.weight.size(1)},
        packed_(at::zeros({static_cast<int64_t>(shape_.packed_size())}, at::kBFloat16)),
        activation_(Fused(activation)) {
    const at::Tensor weight = weights.weight.to(at::kCPU, at::kFloat).contiguous();
    avx512_bf16::PackRows(shape_, weight.const_data_ptr<float>(), 0, shape_.count,
                          MutableBits(packed_));
    if (weights.bias.defined()) bias_ = weights.bias.to(at::kCPU, at::kFloat).contiguous();
  }

  at::Tensor Apply(const at::Tensor& x) const override {
    std::vector<int64_t> sizes = x.sizes().vec();
    sizes.back() = shape_.count;
    at::Tensor y = at::empty(sizes, at::kBFloat16);
    Run(x, {.activation = activation_, .out = MutableBits(y), .x = nullptr});
    return y;
  }

  void AddTo(at::Tensor& sum, const at::Tensor& x) const override {
    Run(x, {.activation = activation_, .out = nullptr, .x = sum.data_ptr<float>()});
  }

 private:
  // Blocks of columns and chunks of rows are shared out so that a thread's tasks use one block as
  // long as possible.
  void Run(const at::Tensor& x, avx512_bf16::Epilogue epilogue) const {
    const at::Tensor in = x.to(at::kBFloat16).contiguous();
    const int64_t rows = in.numel() / shape_.width;
    const int64_t tasks_wanted = kTasksPerThread * at::get_num_threads();
    const int64_t chunks = std::clamp(tasks_wanted / shape_.blocks(), int64_t{1},
                                      (rows + kChunkRows - 1) / kChunkRows);
    const int64_t chunk =
        (rows + chunks - 1) / chunks / avx512_bf16::kTileRows * avx512_bf16::kTileRows +
        avx512_bf16::kTileRows;
    if (bias_.defined()) epilogue.bias = bias_.const_data_ptr<float>();
    const size_t scratch_bytes =
        avx512_bf16::MultiplyScratch(shape_, std::min(chunk, rows)) * sizeof(float);
    ForEachTask(shape_.blocks() * chunks, scratch_bytes, [&](int64_t task, void* scratch) {
      const int64_t first = task % chunks * chunk, count = std::min(chunk, rows - first);
      if (count <= 0) return;
      avx512_bf16::Epilogue own = epilogue;
      if (own.out != nullptr) own.out += first * shape_.count;
      if (own.x != nullptr) own.x += first * shape_.count;
      avx512_bf16::Multiply(shape_, Bits(packed_), task / chunks, Bits(in) + first * shape_.width,
                            count, own, static_cast<float*>(scratch));
    });
  }

  // A task that has fewer rows reads more of the weight than it computes with.
  static constexpr int64_t kChunkRows = 96;
  static constexpr int64_t kTasksPerThread = 4;

  const avx512_bf16::PackedRows shape_;
  const at::Tensor packed_;
  at::Tensor bias_;  // fp32, or undefined
  const avx512_bf16::Activation activation_;
};

class Avx512Bf16Mlp final : public Mlp {
 public:
  Avx512Bf16Mlp(const std::vector<LinearWeights>& layers, Activation activation) {
    for (size_t i = 0; i < layers.size(); ++i) {
      layers_.push_back(std::make_unique<Avx512Bf16Linear>(
          layers[i], i + 1 < layers.size() ? activation : Activation::kNone));
    }
  }
  at::Tensor Apply(const at::Tensor& x) const override { return layers_.back()->Apply(Hidden(x)); }
  void AddTo(at::Tensor& sum, const at::Tensor& x) const override {
    layers_.back()->AddTo(sum, Hidden(x));
  }

 private:
  at::Tensor Hidden(const at::Tensor& x) const {
    at::Tensor y = x;
    for (size_t i = 0; i + 1 < layers_.size(); ++i) y = layers_[i]->Apply(y);
    return y;
  }

  std::vector<std::unique_ptr<Avx512Bf16Linear>> layers_;
};

class Avx512Bf16Rows final : public Rows {
 public:
  Avx512Bf16Rows(int64_t count, int64_t width)
      : shape_{.count = count, .width = width},
        packed_(at::zeros({static_cast<int64_t>(shape_.packed_size())}, at::kBFloat16)) {}

  void Put(int64_t first, const at::Tensor& rows) override {
    const at::Tensor values = rows.to(at::kFloat).contiguous();
    avx512_bf16::PackRows(shape_, values.const_data_ptr<float>(), first, values.size(0),
                          MutableBits(packed_));
  }

  at::Tensor Get(int64_t first, int64_t count) const override {
    at::Tensor values = at::empty({count, shape_.width});
    avx512_bf16::UnpackRows(shape_, Bits(packed_), first, count, values.data_ptr<float>());
    return values;
  }

  at::Tensor Maximum(const at::Tensor& tokens, int64_t first, int64_t count) const override {
    const at::Tensor rounded = tokens.to(at::kBFloat16).contiguous();
    at::Tensor best = at::empty({rounded.size(0)}, at::kFloat);
    const int64_t chunk = std::max(kTokensPerTask, rounded.size(0) / (4 * at::get_num_threads()));
    ForEachTask((rounded.size(0) + chunk - 1) / chunk, 0, [&](int64_t task, void* /*scratch*/) {
      const int64_t begin = task * chunk;
      avx512_bf16::RowMaximum(
          shape_, Bits(packed_), first, first + count, Bits(rounded) + begin * shape_.width,
          std::min(chunk, rounded.size(0) - begin), best.data_ptr<float>() + begin);
    });
    return best;
  }

  int64_t bytes() const override { return static_cast<int64_t>(packed_.nbytes()); }

 private:
  const avx512_bf16::PackedRows shape_;
  const at::Tensor packed_;
};

class Avx512Bf16Kernels final : public AtenKernels {
 public:
  explicit Avx512Bf16Kernels(Products products)
      : AtenKernels(at::kCPU, at::kBFloat16), own_products_(products == Products::kOwn) {}

  std::unique_ptr<Linear> PackLinear(const LinearWeights& weights) const override {
    if (!Takes(weights)) return AtenKernels::PackLinear(weights);
    return std::make_unique<Avx512Bf16Linear>(weights, Activation::kNone);
  }

  std::unique_ptr<Mlp> PackMlp(const std::vector<LinearWeights>& layers,
                               Activation activation) const override {
    for (const LinearWeights& layer : layers) {
      if (!Takes(layer)) return AtenKernels::PackMlp(layers, activation);
    }
    return std::make_unique<Avx512Bf16Mlp>(layers, activation);
  }

  at::Tensor LayerNormForLinear(const at::Tensor& x, const Norm& norm) const override {
    const int64_t width = x.size(-1);
    if (width % 16 != 0) return AtenKernels::LayerNormForLinear(x, norm);
    const at::Tensor in = x.to(at::kFloat).contiguous();
    at::Tensor y = at::empty(in.sizes(), at::kBFloat16);
    at::parallel_for(0, in.numel() / width, kNormRowsPerTask, [&](int64_t begin, int64_t end) {
      avx512_bf16::Norm(in.const_data_ptr<float>() + begin * width,
                        norm.weight.const_data_ptr<float>(), norm.bias.const_data_ptr<float>(),
                        static_cast<float>(norm.eps), end - begin, width,
                        MutableBits(y) + begin * width);
    });
    return y;
  }

  std::unique_ptr<Rows> MakeRows(int64_t count, int64_t width) const override {
    if (width % 2 != 0) return AtenKernels::MakeRows(count, width);
    return std::make_unique<Avx512Bf16Rows>(count, width);
  }

  at::Tensor Attention(const at::Tensor& qkv, int heads, bool causal) const override {
    const int64_t batch = qkv.size(0), tokens = qkv.size(1), width = qkv.size(2) / 3;
    const avx512_bf16::Attention shape{.tokens = tokens,
                                       .heads = heads,
                                       .head_dim = width / heads,
                                       .stride = 3 * width,
                                       .q = 0,
                                       .k = width,
                                       .v = 2 * width};
    if (causal || shape.head_dim % 16 != 0) return AtenKernels::Attention(qkv, heads, causal);
    const at::Tensor in = qkv.to(at::kBFloat16).contiguous();
    at::Tensor out = at::empty({batch, tokens, width}, in.options());
    const auto image = [&](int64_t b) { return Bits(in) + b * tokens * 3 * width; };

    const auto packed_size = static_cast<int64_t>(shape.packed_size());
    const at::Tensor packed = at::empty({batch * heads, packed_size}, in.options());
    ForEachTask(batch * heads, 0, [&](int64_t task, void* /*scratch*/) {
      avx512_bf16::PackHead(shape, image(task / heads), task % heads,
                            MutableBits(packed) + task * packed_size);
    });
    const int64_t chunks = (tokens + kRowsPerTask - 1) / kRowsPerTask;
    ForEachTask(batch * heads * chunks, shape.scratch_bytes(), [&](int64_t task, void* scratch) {
      const int64_t head = task / chunks, first = task % chunks * kRowsPerTask;
      avx512_bf16::AttendRows(shape, image(head / heads), head % heads,
                              Bits(packed) + head * packed_size, nullptr, first,
                              std::min(first + kRowsPerTask, tokens),
                              MutableBits(out) + head / heads * tokens * width, scratch);
    });
    return out;
  }

  at::Tensor AttendWindows(const at::Tensor& x, const WindowAttention& a) const override {
    const int64_t width = x.size(2), inside = static_cast<int64_t>(a.window) * a.window;
    const int64_t parts = a.value_only ? 1 : 3;
    const avx512_bf16::Attention shape{.tokens = inside,
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
    const size_t packed_bytes = shape.packed_size() * sizeof(uint16_t);
    const size_t scratch_bytes = 2 * factor_bytes + packed_bytes + shape.scratch_bytes();
    ForEachTask(projected.size(0) * a.heads, scratch_bytes, [&](int64_t task, void* memory) {
      auto* q_factors = static_cast<float*>(memory);
      float* k_factors = q_factors + inside;
      auto* packed = reinterpret_cast<uint16_t*>(k_factors + inside);
      void* scratch = packed + shape.packed_size();
      const int64_t window = task / a.heads, head = task % a.heads;
      const uint16_t* in = Bits(projected) + window * inside * shape.stride;
      avx512_bf16::InverseNorms(shape, in, shape.q, head, scale.const_data_ptr<float>()[head],
                                q_factors);
      avx512_bf16::InverseNorms(shape, in, shape.k, head, 1, k_factors);
      const int64_t bias_of = (window % bias.size(0) * a.heads + head) * inside * inside;
      const avx512_bf16::Cosine cosine{.q_factors = q_factors,
                                       .k_factors = k_factors,
                                       .bias = bias.const_data_ptr<float>() + bias_of};
      avx512_bf16::PackHead(shape, in, head, packed);
      avx512_bf16::AttendRows(shape, in, head, packed, &cosine, 0, inside,
                              MutableBits(out) + window * inside * width, scratch);
    });
    return a.out_proj->Apply(out);
  }

 private:
  bool Takes(const LinearWeights& weights) const {
    return own_products_ && weights.weight.size(1) % 2 == 0;
  }

  // CutWindows, as bf16: [B * windows, N, W].
  static at::Tensor GatherWindows(const at::Tensor& x, const WindowAttention& a) {
    const int64_t batch = x.size(0), length = x.size(1), width = x.size(2);
    const int64_t inside = static_cast<int64_t>(a.window) * a.window;
    const at::Tensor plain = x.contiguous();
    at::Tensor windows = at::empty({batch * length / inside, inside, width}, at::kBFloat16);
    at::parallel_for(0, batch * length, kNormRowsPerTask, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end;) {  // a run of rows of one image
        const int64_t image = i / length, run = std::min(end, (image + 1) * length) - i;
        avx512_bf16::GatherToBf16(plain.const_data_ptr<float>() + image * length * width,
                                  a.order.const_data_ptr<int64_t>() + i % length, run, width,
                                  MutableBits(windows) + i * width);
        i += run;
      }
    });
    return windows;
  }

  const bool own_products_;
};

}  // namespace

Products FasterProducts() {
  constexpr unsigned kAmxBf16 = 1U << 22;  // CPUID leaf 7, EDX
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool amx = __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kAmxBf16) != 0;
  return amx ? Products::kLibrary : Products::kOwn;
}

std::unique_ptr<Kernels> MakeAvx512Bf16Kernels(Products products) {
  for (const bool has : {__builtin_cpu_supports("avx512f"), __builtin_cpu_supports("avx512bw"),
                         __builtin_cpu_supports("avx512vl"), __builtin_cpu_supports("avx512dq"),
                         __builtin_cpu_supports("avx512bf16")}) {
    if (!has) return nullptr;
  }
  return std::make_unique<Avx512Bf16Kernels>(products);
}

}  // namespace hfwa::kernels
