#pragma once

// Numeric functions that the CUDA kernels and their twin share. One rounding an operation: the
// module is compiled without contraction, as the rest is.

#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/kernels/cuda/module_api.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define HFWA_DEVICE __host__ __device__ inline
#else
#define HFWA_DEVICE inline
#endif
#ifdef __CUDA_ARCH__
#define HFWA_UNROLL _Pragma("unroll")  // what is indexed in such a loop stays in registers
#else
#define HFWA_UNROLL
#endif

namespace hfwa::kernels::cuda {

HFWA_DEVICE uint32_t BitsOf(float value) {
  uint32_t bits = 0;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}
HFWA_DEVICE float FloatOf(uint32_t bits) {
  float value = 0;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// Keys order as their floats do, all NaN above everything; no float has key 0.
HFWA_DEVICE uint32_t KeyOf(float value) {
  if (value != value) return 0xffffffffU;
  const uint32_t bits = BitsOf(value);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}
HFWA_DEVICE float FromKey(uint32_t key) {
  if (key == 0xffffffffU) return FloatOf(0x7fc00000U);
  return FloatOf((key & 0x80000000U) != 0 ? key & 0x7fffffffU : ~key);
}

// The larger of two, NaN if one is.
HFWA_DEVICE float Larger(float best, float value) {
  return value > best || value != value ? value : best;
}

// 16-bit types as bits, rounded to nearest even -------------------------------------------------

HFWA_DEVICE float FromBf16(uint16_t bits) { return FloatOf(static_cast<uint32_t>(bits) << 16); }
HFWA_DEVICE uint16_t ToBf16(float value) {
  const uint32_t bits = BitsOf(value);
  if (value != value) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

HFWA_DEVICE float FromFp16(uint16_t bits) {
#ifdef __CUDA_ARCH__
  return __half2float(__ushort_as_half(bits));
#else
  const uint32_t sign = (bits & 0x8000U) << 16, exponent = (bits >> 10) & 31U, part = bits & 1023U;
  if (exponent == 31) return FloatOf(sign | 0x7f800000U | part << 13);
  if (exponent > 0) return FloatOf(sign | (exponent + 112) << 23 | part << 13);
  const float small = static_cast<float>(part) / 16777216.0F;  // 2^-24 a step
  return sign != 0 ? -small : small;
#endif
}
HFWA_DEVICE uint16_t ToFp16(float value) {
#ifdef __CUDA_ARCH__
  return __half_as_ushort(__float2half_rn(value));
#else
  const uint32_t bits = BitsOf(value), sign = (bits >> 16) & 0x8000U, size = bits & 0x7fffffffU;
  if (size > 0x7f800000U) return 0x7fff;
  if (size >= 0x477ff000U) return static_cast<uint16_t>(sign | 0x7c00U);  // rounds to infinity
  if (size < 0x38800000U) {  // below the normal range: steps of 2^-24
    const float steps = FloatOf(size) * 16777216.0F;
    const float rounded = (steps + 8388608.0F) - 8388608.0F;  // to nearest even
    return static_cast<uint16_t>(sign | static_cast<uint32_t>(rounded));
  }
  return static_cast<uint16_t>(sign | ((size + 0xfffU + ((size >> 13) & 1U) - 0x38000000U) >> 13));
#endif
}

template <Type kType>
HFWA_DEVICE float Load16(uint16_t bits) {
  return kType == Type::kBf16 ? FromBf16(bits) : FromFp16(bits);
}
template <Type kType>
HFWA_DEVICE uint16_t Store16(float value) {
  return kType == Type::kBf16 ? ToBf16(value) : ToFp16(value);
}

// Functions --------------------------------------------------------------------------------------

HFWA_DEVICE float Sigmoid(float x) { return 1.0F / (1.0F + expf(-x)); }

// To about 2^-21 of it: for what is rounded to 16 bits next.
HFWA_DEVICE float QuickSigmoid(float x) {
#ifdef __CUDA_ARCH__
  return __fdividef(1.0F, 1.0F + __expf(-x));  // its divisor above 2^126 gives 0, as it should
#else
  return Sigmoid(x);
#endif
}

template <Function kFunction>
HFWA_DEVICE float Activate(float x) {
  switch (kFunction) {
    case Function::kNone:
      return x;
    case Function::kQuickGelu:
      return x * QuickSigmoid(1.702F * x);
    case Function::kGelu:
      return 0.5F * x * (1.0F + erff(x * 0.70710678118654752F));
    case Function::kRelu:
      return x > 0.0F || x != x ? x : 0.0F;
  }
  return x;
}

// Maps -------------------------------------------------------------------------------------------

// Index of the sample that stands at `i` outside 0..n-1: d c b a | a b c d | d c b a, repeated.
HFWA_DEVICE int Reflect(int i, int n) {
  const int period = 2 * n;
  const int in_period = ((i % period) + period) % period;
  return in_period < n ? in_period : period - 1 - in_period;
}

// Corner-aligned sampling along one axis.
struct Tap {
  int from;
  int to;
  float weight;  // of `to`
};
HFWA_DEVICE Tap TapOf(int o, int input, int output) {
  const float scale =
      output > 1 ? static_cast<float>(input - 1) / static_cast<float>(output - 1) : 0.0F;
  const float at = scale * static_cast<float>(o);
  int from = static_cast<int>(at);
  from = from < input - 1 ? from : input - 1;
  const int to = from + 1 < input ? from + 1 : from;
  return {from, to, at - static_cast<float>(from)};
}

HFWA_DEVICE float Blend(float a, float b, float weight) { return (1.0F - weight) * a + weight * b; }

// 0..255; NaN counts as `low` (core/image/colour_map.cc).
HFWA_DEVICE int Quantize(float value, float low, float scale) {
  const float level = (value - low) * scale + 0.5F;
  return level >= 255.0F ? 255 : level > 0.0F ? static_cast<int>(level) : 0;
}

}  // namespace hfwa::kernels::cuda
