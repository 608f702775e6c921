#pragma once

// Linear maps on AVX-512, in T (float, or uint16_t for bf16) and in int8 with results in T.

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/kernels/cpu/avx512.h"
#include "core/kernels/kernels.h"

namespace hfwa::kernels {

template <typename T>
constexpr at::ScalarType TypeOf();
template <>
constexpr at::ScalarType TypeOf<float>() {
  return at::kFloat;
}
template <>
constexpr at::ScalarType TypeOf<uint16_t>() {
  return at::kBFloat16;
}

template <typename T>
const T* Values(const at::Tensor& x) {
  return static_cast<const T*>(x.const_data_ptr());
}
template <typename T>
T* MutableValues(const at::Tensor& x) {
  return static_cast<T*>(x.mutable_data_ptr());
}

// Whether the products can be done: their inner dimension is whole units.
template <typename T>
bool TakesWidth(int64_t width) {
  return width % avx512::kUnit<T> == 0;
}

// Which registers multiply, where there is a choice; the tiles' software stands in for tests.
enum class Registers { kVectors, kTiles, kSoftwareTiles };

// With an activation after it. Tiles are for bf16.
template <typename T>
std::unique_ptr<Linear> MakeAvx512Linear(const LinearWeights& weights, Activation activation,
                                         Registers registers);

// The same in int8, with results in T, on tiles in bf16. Needs AVX512-VNNI or AMX; the width is a
// multiple of 4.
template <typename T>
std::unique_ptr<Linear> MakeInt8Linear(const LinearWeights& weights, Activation activation,
                                       Registers registers);

// Linear maps that do their activations themselves.
class Chain final : public Mlp {
 public:
  explicit Chain(std::vector<std::unique_ptr<Linear>> layers) : layers_(std::move(layers)) {}
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

  const std::vector<std::unique_ptr<Linear>> layers_;
};

}  // namespace hfwa::kernels
