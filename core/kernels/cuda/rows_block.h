#pragma once

// What is done to the rows of activations between matrix products.

#include "core/kernels/cuda/numbers.h"

namespace hfwa::kernels::cuda {

inline constexpr int kRowThreads = 256;
inline constexpr int kNormRows = kRowThreads / 32;  // a block's: one a warp

// Moved as one word of 16 or 8 bytes.
struct alignas(16) Float4 {
  float values[4];
};
struct alignas(8) Bits4 {
  uint16_t values[4];
};
HFWA_DEVICE Float4 Load4(const float* from) { return *reinterpret_cast<const Float4*>(from); }
HFWA_DEVICE void Store4(float* to, const Float4& four) { *reinterpret_cast<Float4*>(to) = four; }
HFWA_DEVICE Bits4 Load4(const uint16_t* from) { return *reinterpret_cast<const Bits4*>(from); }
HFWA_DEVICE void Store4(uint16_t* to, const Bits4& four) { *reinterpret_cast<Bits4*>(to) = four; }

// Sums of all values of a warp, in every thread of it.
template <typename Block>
HFWA_DEVICE void SumWarp(Block& block, typename Block::template PerThread<float>& sums) {
  for (int mask = 16; mask > 0; mask /= 2) {
    block.ReduceXor(
        mask, [&](int t) -> float& { return sums[t]; }, [](float x, float y) { return x + y; });
  }
}

// Rows group * kNormRows and on: mean, then variance, then the result, each row by one warp.
template <Type kType, typename Block>
HFWA_DEVICE void NormBlock(Block& block, const NormTask& task, int64_t group) {
  const auto width = static_cast<float>(task.width);
  const auto row_of = [&](int t) { return group * kNormRows + t / 32; };
  const auto x_of = [&](int t) { return task.x + row_of(t) * task.width; };
  typename Block::template PerThread<float> mean, variance;
  block.ForEach([&](int t) {
    mean[t] = 0;
    if (row_of(t) >= task.rows) return;
    for (int i = t % 32 * 4; i < task.width; i += 128) {
      const Float4 x = Load4(x_of(t) + i);
      mean[t] += (x.values[0] + x.values[1]) + (x.values[2] + x.values[3]);
    }
  });
  SumWarp(block, mean);
  block.ForEach([&](int t) {
    mean[t] /= width;
    variance[t] = 0;
    if (row_of(t) >= task.rows) return;
    for (int i = t % 32 * 4; i < task.width; i += 128) {
      const Float4 x = Load4(x_of(t) + i);
      HFWA_UNROLL
      for (int j = 0; j < 4; ++j) {
        const float difference = x.values[j] - mean[t];
        variance[t] += difference * difference;
      }
    }
  });
  SumWarp(block, variance);
  block.ForEach([&](int t) {
    if (row_of(t) >= task.rows) return;
    const float factor = 1.0F / sqrtf(variance[t] / width + task.eps);
    for (int i = t % 32 * 4; i < task.width; i += 128) {
      const Float4 x = Load4(x_of(t) + i), weight = Load4(task.weight + i),
                   bias = Load4(task.bias + i);
      Bits4 y;
      HFWA_UNROLL
      for (int j = 0; j < 4; ++j) {
        y.values[j] =
            Store16<kType>((x.values[j] - mean[t]) * factor * weight.values[j] + bias.values[j]);
      }
      Store4(task.y + row_of(t) * task.width + i, y);
    }
  });
}

// Values 4 * quad and the next three.
HFWA_DEVICE Float4 BiasOf(const BiasTask& task, int64_t quad) {
  if (task.bias == nullptr) return {{0, 0, 0, 0}};
  return Load4(task.bias + quad * 4 % task.width);
}

template <Type kType, Function kFunction>
HFWA_DEVICE void ActivateQuad(const BiasTask& task, int64_t quad) {
  Bits4 y = Load4(task.y + quad * 4);
  const Float4 bias = BiasOf(task, quad);
  HFWA_UNROLL
  for (int j = 0; j < 4; ++j) {
    y.values[j] = Store16<kType>(Activate<kFunction>(Load16<kType>(y.values[j]) + bias.values[j]));
  }
  Store4(task.y + quad * 4, y);
}

template <Type kType>
HFWA_DEVICE void ResidualQuad(const BiasTask& task, int64_t quad) {
  const Bits4 y = Load4(task.y + quad * 4);
  const Float4 bias = BiasOf(task, quad);
  Float4 sum = Load4(task.sum + quad * 4);
  HFWA_UNROLL
  for (int j = 0; j < 4; ++j) sum.values[j] += Load16<kType>(y.values[j]) + bias.values[j];
  Store4(task.sum + quad * 4, sum);
}

}  // namespace hfwa::kernels::cuda
