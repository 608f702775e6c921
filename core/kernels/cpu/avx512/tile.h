#pragma once

// What the kernels in this folder share. For files that are compiled for AVX-512 alone; each has
// its own copy of everything here, for its processor.

#include <immintrin.h>

#include <cstdint>
#include <type_traits>

#include "core/kernels/cpu/avx512.h"

namespace hfwa::kernels::avx512 {
namespace {  // NOLINT(google-build-namespaces)

inline constexpr int64_t kLanes = 16;   // fp32 values, or units, in a register
inline constexpr int kTileVectors = 4;  // registers across a tile
inline constexpr int64_t kTileWidth = kTileVectors * kLanes;
inline constexpr float kLowest = -3.0e38F;
inline constexpr float kLog2E = 1.44269504F;

// Four bytes of the inner dimension: a float, two bf16, four int8; read from memory that others
// know as such.
using Unit __attribute__((may_alias)) = uint32_t;

inline int64_t RoundUp(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

template <typename T>
const Unit* Units(const T* values) {
  return reinterpret_cast<const Unit*>(values);
}
template <typename T>
Unit* Units(T* values) {
  return reinterpret_cast<Unit*>(values);
}

inline float SquareRoot(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

// Marks the first `count` lanes.
inline __mmask16 Lanes(int64_t count) {
  return static_cast<__mmask16>(count >= kLanes ? 0xFFFFU : (1U << count) - 1U);
}

template <int N>
struct Constant {
  static constexpr int value = N;
};

// How values of a type are loaded, stored and multiplied.
template <typename T>
struct Format;

template <>
struct Format<float> {
  using Sum = __m512;
  static Sum Zero() { return _mm512_setzero_ps(); }
  static Sum LoadSum(const float* from) { return _mm512_loadu_ps(from); }
  static void StoreSum(float* to, Sum sum) { _mm512_storeu_ps(to, sum); }
  static Sum MultiplyAdd(Sum sum, __m512i row, __m512i columns) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(row), _mm512_castsi512_ps(columns), sum);
  }
  static __m512 Load(const float* from) { return _mm512_loadu_ps(from); }
  static __m512 LoadSome(const float* from, __mmask16 lanes) {
    return _mm512_maskz_loadu_ps(lanes, from);
  }
  static void Store(float* to, __m512 values) { _mm512_storeu_ps(to, values); }
  static void StoreSome(float* to, __mmask16 lanes, __m512 values) {
    _mm512_mask_storeu_ps(to, lanes, values);
  }
  // A unit of fp32 values, and back.
  static Unit FromFloats(const float* values) { return *Units(values); }
  static void ToFloats(Unit unit, float* values) { *Units(values) = unit; }
  // Sixteen units down the columns of rows that follow each other, `rows` of which are there.
  static __m512i DownColumns(const float* rows, int64_t /*stride*/, int64_t /*count*/) {
    return _mm512_loadu_si512(rows);
  }
};

#ifdef __AVX512BF16__
template <>
struct Format<uint16_t> {
  using Sum = __m512;
  static Sum Zero() { return _mm512_setzero_ps(); }
  static Sum LoadSum(const float* from) { return _mm512_loadu_ps(from); }
  static void StoreSum(float* to, Sum sum) { _mm512_storeu_ps(to, sum); }
  static Sum MultiplyAdd(Sum sum, __m512i row, __m512i columns) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(row),
                            reinterpret_cast<__m512bh>(columns));
  }
  static __m512i Widen(const uint16_t* from) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static __m512 Load(const uint16_t* from) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(Widen(from), 16));
  }
  static __m512 LoadSome(const uint16_t* from, __mmask16 lanes) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
  static void Store(uint16_t* to, __m512 values) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values)));
  }
  static void StoreSome(uint16_t* to, __mmask16 lanes, __m512 values) {
    _mm256_mask_storeu_epi16(to, lanes, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values)));
  }
  static Unit FromFloats(const float* values) {
    const __m128 pair = _mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(values)));
    const auto rounded = reinterpret_cast<__m128i>(_mm_cvtneps_pbh(pair));
    return static_cast<Unit>(_mm_cvtsi128_si32(rounded));
  }
  static void ToFloats(Unit unit, float* values) {
    const __m128i both =
        _mm_set_epi32(0, 0, static_cast<int>(unit & 0xFFFF0000U), static_cast<int>(unit << 16));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(values), both);
  }
  static __m512i DownColumns(const uint16_t* rows, int64_t stride, int64_t count) {
    const __m512i low = Widen(rows);
    if (count < 2) return low;
    return _mm512_or_si512(low, _mm512_slli_epi32(Widen(rows + stride), 16));
  }
};
#endif

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

// sum[r][16 v ..] += sum over u of a[r][u] . b[u][16 v ..], where a and b hold units: a row after
// row at a_stride, b in rows of b_stride units.
template <typename F, int Rows, int Vectors>
[[gnu::always_inline]] inline void Accumulate(const Unit* a, int64_t a_stride, const Unit* b,
                                              int64_t b_stride, int64_t units,
                                              typename F::Sum (&result)[Rows][Vectors]) {
  typename F::Sum sum[Rows][Vectors];  // its own, so that it stays in registers
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[r][v] = result[r][v];
  }
  for (int64_t u = 0; u < units; ++u) {
    __m512i columns[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v)
      columns[v] = _mm512_loadu_si512(b + u * b_stride + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const __m512i row = _mm512_set1_epi32(static_cast<int>(a[r * a_stride + u]));
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] = F::MultiplyAdd(sum[r][v], row, columns[v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) result[r][v] = sum[r][v];
  }
}

template <typename F, int Rows, int Vectors>
[[gnu::always_inline]] inline void Tile(const Unit* a, int64_t a_stride, const Unit* b,
                                        int64_t b_stride, int64_t units,
                                        typename F::Sum (&sum)[Rows][Vectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[r][v] = F::Zero();
  }
  Accumulate<F, Rows, Vectors>(a, a_stride, b, b_stride, units, sum);
}

}  // namespace
}  // namespace hfwa::kernels::avx512
