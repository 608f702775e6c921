#pragma once

// What the kernels in this folder share. For files that are compiled for AVX512-BF16 alone.

#include <immintrin.h>

#include <cstdint>

#include "core/kernels/cpu/avx512_bf16.h"

namespace hfwa::kernels::avx512_bf16 {

constexpr int64_t kLanes = 16;   // fp32 values, or pairs of bf16, in a register
constexpr int kTileVectors = 4;  // registers across a tile
constexpr int64_t kTileWidth = kTileVectors * kLanes;
constexpr float kLowest = -3.0e38F;
constexpr float kLog2E = 1.44269504F;

// Two bf16 values; read from memory that others know as single ones.
using Pair __attribute__((may_alias)) = uint32_t;

inline int64_t RoundUp(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

inline __m512bh Pairs(const Pair* from) {
  return reinterpret_cast<__m512bh>(_mm512_loadu_si512(from));
}
inline __m512bh Everywhere(Pair pair) {
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(pair)));
}

inline float SquareRoot(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

// Marks the first `count` lanes.
inline __mmask16 Lanes(int64_t count) {
  return static_cast<__mmask16>(count >= kLanes ? 0xFFFFU : (1U << count) - 1U);
}

inline __m512i Widen(const uint16_t* from) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
inline __m512 FromBf16(const uint16_t* from) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(Widen(from), 16));
}
inline void StoreBf16(uint16_t* to, __m512 values) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values)));
}

// 2^x for x <= 0; a polynomial on the fraction, error below 2e-7 of the value.
inline __m512 Exp2(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-126.0F), x);  // in this order NaN stays NaN
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 fraction = _mm512_sub_ps(x, whole);
  // Taylor of exp(f ln 2) on [-1/2, 1/2], to the sixth power.
  __m512 y = _mm512_set1_ps(1.5403530e-4F);
  y = _mm512_fmadd_ps(y, fraction, _mm512_set1_ps(1.3333558e-3F));
  y = _mm512_fmadd_ps(y, fraction, _mm512_set1_ps(9.6181291e-3F));
  y = _mm512_fmadd_ps(y, fraction, _mm512_set1_ps(5.5504109e-2F));
  y = _mm512_fmadd_ps(y, fraction, _mm512_set1_ps(2.4022651e-1F));
  y = _mm512_fmadd_ps(y, fraction, _mm512_set1_ps(6.9314718e-1F));
  y = _mm512_fmadd_ps(y, fraction, _mm512_set1_ps(1.0F));
  return _mm512_scalef_ps(y, whole);
}

// sum[r][0..16*Vectors) += sum over p of a[r][p] . b[p][..], where a and b hold pairs: a row after
// row at a_stride, b in rows of b_stride pairs.
template <int Rows, int Vectors>
[[gnu::always_inline]] inline void Accumulate(const Pair* a, int64_t a_stride, const Pair* b,
                                              int64_t b_stride, int64_t pairs,
                                              __m512 (&result)[Rows][Vectors]) {
  __m512 sum[Rows][Vectors];  // its own, so that it stays in registers
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[r][v] = result[r][v];
  }
  for (int64_t p = 0; p < pairs; ++p) {
    __m512bh columns[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) columns[v] = Pairs(b + p * b_stride + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const __m512bh row = Everywhere(a[r * a_stride + p]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], row, columns[v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) result[r][v] = sum[r][v];
  }
}

template <int Rows, int Vectors>
[[gnu::always_inline]] inline void Tile(const Pair* a, int64_t a_stride, const Pair* b,
                                        int64_t b_stride, int64_t pairs,
                                        __m512 (&sum)[Rows][Vectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm512_setzero_ps();
  }
  Accumulate<Rows, Vectors>(a, a_stride, b, b_stride, pairs, sum);
}

}  // namespace hfwa::kernels::avx512_bf16
