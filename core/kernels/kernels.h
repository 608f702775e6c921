#pragma once

// The operations that HFWA is made of, apart from how they run. Weights are prepared once, at load
// ("packed": in the device's memory, in the compute type, in the layout its matrix unit likes), and
// applied many times. Activations may be of any floating type: an operation converts what it is
// given, so callers hold no precision logic.
//
// LibTorch's exceptions pass through.
//
// Shapes: B images or prompts, T tokens, W width, L = grid * grid patches.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace hfwa::kernels {

enum class Activation { kNone, kQuickGelu, kGelu /* exact, erf */, kRelu };

// x weightᵀ + bias. Immutable, thread-safe.
class Linear {
 public:
  virtual ~Linear() = default;
  // [..., in] -> [..., out], in the compute type.
  virtual at::Tensor Apply(const at::Tensor& x) const = 0;
  // sum += Apply(x), where sum [..., out] is fp32 and contiguous; may round less, and may make
  // `sum` another tensor.
  virtual void AddTo(at::Tensor& sum, const at::Tensor& x) const;
};

// Linear maps with an activation between them (none after the last). Immutable, thread-safe.
class Mlp {
 public:
  virtual ~Mlp() = default;
  // [..., in] -> [..., out], in the compute type.
  virtual at::Tensor Apply(const at::Tensor& x) const = 0;
  // sum += Apply(x), where sum [..., out] is fp32 and contiguous; may round less, and may make
  // `sum` another tensor.
  virtual void AddTo(at::Tensor& sum, const at::Tensor& x) const;
};

// weight [out, in], bias [out] or undefined; both fp32.
struct LinearWeights {
  at::Tensor weight;
  at::Tensor bias;
  // First and last maps of a model, that cost little and matter much: in the compute type where
  // others are in int8.
  bool sensitive = false;
};

// Layer norm over the last dimension: weight and bias [W], fp32 on the kernels' device.
struct Norm {
  at::Tensor weight;
  at::Tensor bias;
  double eps = 1e-5;
};

// What tokens are matched against, laid out for it. Filled once, then immutable and thread-safe.
class Rows {
 public:
  virtual ~Rows() = default;
  // Rows first, first + 1, ... become `rows` [R, E], fp32 on the kernels' device.
  virtual void Put(int64_t first, const at::Tensor& rows) = 0;
  // Rows first to first + count - 1, as exactly as they are kept: [count, E] fp32.
  virtual at::Tensor Get(int64_t first, int64_t count) const = 0;
  // Largest dot product of each token with any of rows first to first + count - 1, fp32, count >=
  // 1: tokens [T, E] fp32 -> [T]. Works in blocks of rows, so its memory does not grow with them.
  virtual at::Tensor Maximum(const at::Tensor& tokens, int64_t first, int64_t count) const = 0;
  virtual int64_t bytes() const = 0;
};

// Cosine attention inside square windows of a square grid (HFWA spec 4.1).
struct WindowAttention {
  int grid = 0;
  int window = 0;  // divides grid
  int shift = 0;   // cyclic, rows and columns, before windows are cut
  int heads = 0;
  // value_only: `in_proj` gives v alone and similarity is cos(v, v); else it gives [q | k | v].
  bool value_only = true;
  at::Tensor order;  // WindowOrder of the above, on the kernels' device
  std::shared_ptr<const Linear> in_proj;
  std::shared_ptr<const Linear> out_proj;
  at::Tensor scale;  // [heads, 1, 1] fp32, factor of the cosines
  // Added to the scaled cosines, fp32: [1, heads, N, N] or, with a mask, [windows, heads, N, N], N
  // = window².
  at::Tensor bias;
};

// Activations that a sum keeps exactly and linear maps take rounded.
struct Tokens {
  at::Tensor value;       // [B, L, W] fp32; may be a view
  at::Tensor for_linear;  // the same, in the type that linear maps take
};

class Epilogue;  // epilogue.h

// Immutable, thread-safe.
class Kernels {
 public:
  virtual ~Kernels() = default;
  // What runs, for people.
  virtual std::string name() const { return "LibTorch"; }
  // What follows the forward pass for a whole batch; null where going image by image is as fast.
  virtual const Epilogue* epilogue() const { return nullptr; }
  virtual at::Device device() const = 0;
  // Type of linear maps and of the towers' attention.
  virtual at::ScalarType compute_type() const = 0;

  virtual std::unique_ptr<Linear> PackLinear(const LinearWeights& weights) const = 0;
  virtual std::unique_ptr<Mlp> PackMlp(const std::vector<LinearWeights>& layers,
                                       Activation activation) const = 0;

  // Statistics and result fp32. [..., W] -> [..., W].
  virtual at::Tensor LayerNorm(const at::Tensor& x, const Norm& norm) const = 0;

  // The same, in the type that linear maps take: fp32 or the compute type.
  virtual at::Tensor LayerNormForLinear(const at::Tensor& x, const Norm& norm) const = 0;

  // What is there for everything that has the above; devices do better in one pass over memory.

  // sum += map(x), sum fp32 and contiguous; returns LayerNormForLinear(sum, norm).
  virtual at::Tensor AddThenNorm(const Linear& map, at::Tensor& sum, const at::Tensor& x,
                                 const Norm& norm) const;
  virtual at::Tensor AddThenNorm(const Mlp& map, at::Tensor& sum, const at::Tensor& x,
                                 const Norm& norm) const;

  // x [B, L, W] fp32, which may be a view, ready for several linear maps.
  virtual Tokens TokensOf(const at::Tensor& x) const;
  // x + LayerNorm(branch).
  virtual Tokens AddNormed(const at::Tensor& x, const at::Tensor& branch, const Norm& norm) const;

  // Rows of x [B, L, E] brought to length one; of length zero they stay zero. Into `unit`
  // [B, L, E] fp32, which may be a view of a larger tensor.
  virtual void ToUnitLength(const at::Tensor& x, at::Tensor& unit) const;
  // Cosines of x [B, L, E] with pairs [B, 2, E] fp32 whose rows have length one: [B, 2, L] fp32.
  virtual at::Tensor Cosines(const at::Tensor& x, const at::Tensor& pairs) const;

  // Multi-head softmax(q kᵀ / √d) v over packed projections qkv [B, T, 3W] = [q | k | v], head h in
  // columns h*d .. (h+1)*d-1 of each; the score matrix is not materialised. `causal`: no token sees
  // a later one. [B, T, W] in the compute type.
  virtual at::Tensor Attention(const at::Tensor& qkv, int heads, bool causal) const = 0;

  // Windows of x [B, L, W] through the attention and its output projection: [B * windows, N, W],
  // windows and the tokens inside row-major. Cosines, softmax and sum fp32. MergeWindows puts the
  // tokens back.
  virtual at::Tensor AttendWindows(const at::Tensor& x, const WindowAttention& attention) const = 0;
  // The same with every token back at its place: [B, L, W].
  virtual at::Tensor AttendInWindows(const at::Tensor& x, const WindowAttention& attention) const;

  // Room for `count` rows of `width` values; fp32 where the compute type is, and on CUDA.
  virtual std::unique_ptr<Rows> MakeRows(int64_t count, int64_t width) const = 0;
};

// The fastest implementation for the device and this processor; type fp32, bf16 or fp16.
std::unique_ptr<Kernels> MakeKernels(at::Device device, at::ScalarType type);

// Linear maps in int8 (a scale for each row of a weight and, as it comes, of its input), the rest
// in bf16 or, where the processor has none, in fp32. Null where int8 would be no faster: off the
// CPU and without AVX512-VNNI.
std::unique_ptr<Kernels> MakeInt8Kernels(at::Device device);

// The reference implementation, on CPU or CUDA.
std::unique_ptr<Kernels> MakeAtenKernels(at::Device device, at::ScalarType type);

}  // namespace hfwa::kernels
