#pragma once

// Products of rows with a block of a packed matrix, and what becomes of the sums while they are in
// registers.

#include "core/kernels/cpu/avx512/tile.h"

namespace hfwa::kernels::avx512 {
namespace {  // NOLINT(google-build-namespaces)

// Units of the inner dimension that a product takes at a time: with them a block of 64 columns
// fills an eighth of a small second-level cache, and six rows a quarter of a first-level one.
inline constexpr int64_t kStepUnits = 512;

// 1 / x for positive x, to fp32's last bits.
inline __m512 Reciprocal(__m512 x) {
  const __m512 y = _mm512_rcp14_ps(x);
  return _mm512_mul_ps(y, _mm512_fnmadd_ps(x, y, _mm512_set1_ps(2.0F)));
}

// e^x for x <= 0.
inline __m512 ExpOfNegative(__m512 x) { return Exp2(_mm512_mul_ps(x, _mm512_set1_ps(kLog2E))); }

// x sigmoid(1.702 x)
inline __m512 QuickGelu(__m512 x) {
  const __m512 z = _mm512_mul_ps(x, _mm512_set1_ps(1.702F));
  const __m512 e = ExpOfNegative(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_abs_ps(z)));
  // sigmoid(z) is 1 / (1 + e) for z >= 0 and e / (1 + e) below, e = exp(-|z|).
  const __mmask16 negative = _mm512_cmp_ps_mask(z, _mm512_setzero_ps(), _CMP_LT_OQ);
  const __m512 one = _mm512_set1_ps(1.0F);
  const __m512 above = _mm512_mask_blend_ps(negative, one, e);
  return _mm512_mul_ps(x, _mm512_mul_ps(above, Reciprocal(_mm512_add_ps(one, e))));
}

// x/2 (1 + erf(x / sqrt 2)); erf by Abramowitz and Stegun 7.1.26, error below 1.5e-7.
inline __m512 Gelu(__m512 x) {
  const __m512 z = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.70710678F));
  const __m512 one = _mm512_set1_ps(1.0F);
  const __m512 t = Reciprocal(_mm512_fmadd_ps(z, _mm512_set1_ps(0.3275911F), one));
  __m512 p = _mm512_set1_ps(1.061405429F);
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-1.453152027F));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(1.421413741F));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0.284496736F));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.254829592F));
  const __m512 e = ExpOfNegative(_mm512_mul_ps(_mm512_sub_ps(_mm512_setzero_ps(), z), z));
  const __m512 tail = _mm512_mul_ps(_mm512_mul_ps(p, t), e);  // 1 - erf(z)
  const __mmask16 negative = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
  const __m512 twice =
      _mm512_mask_blend_ps(negative, _mm512_sub_ps(_mm512_set1_ps(2.0F), tail), tail);
  return _mm512_mul_ps(_mm512_mul_ps(x, _mm512_set1_ps(0.5F)), twice);
}

inline __m512 Activate(Activation activation, __m512 x) {
  switch (activation) {
    case Activation::kQuickGelu:
      return QuickGelu(x);
    case Activation::kGelu:
      return Gelu(x);
    case Activation::kRelu:
      return _mm512_max_ps(_mm512_setzero_ps(), x);  // in this order NaN stays NaN
    default:
      return x;
  }
}

// Sixteen columns of one row of the result: `sum` with the bias, and with what it is for.
template <typename T>
void Finish(const Epilogue<T>& e, __m512 sum, __m512 bias, __mmask16 lanes, int64_t at) {
  const __m512 y = _mm512_add_ps(sum, bias);
  if (e.x != nullptr) {
    const __m512 x = _mm512_maskz_loadu_ps(lanes, e.x + at);
    _mm512_mask_storeu_ps(e.x + at, lanes, _mm512_add_ps(x, y));
  } else {
    Format<T>::StoreSome(e.out + at, lanes, Activate(e.activation, y));
  }
}

// A step of a product: so many of the inner dimension's units.
template <typename SumValue>
struct Step {
  const Unit* in;
  int64_t in_stride;
  const Unit* block;
  int64_t units;
  bool first;
  bool last;
  SumValue* scratch;  // sums so far, [rows, 64]; null where there is one step
};

template <typename F, int Rows, typename SumValue, typename Store>
void MultiplyTile(const Step<SumValue>& step, int64_t row, const Store& store) {
  typename F::Sum sum[Rows][kTileVectors];
  SumValue* sums = step.scratch + row * kTileWidth;
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) {
      sum[r][v] = step.first ? F::Zero() : F::LoadSum(sums + r * kTileWidth + v * kLanes);
    }
  }
  Accumulate<F, Rows, kTileVectors>(step.in + row * step.in_stride, step.in_stride, step.block,
                                    kTileWidth, step.units, sum);
  if (step.last) {
    // Column by column: what belongs to a column is loaded once.
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) {
      typename F::Sum column[Rows];
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) column[r] = sum[r][v];
      store.template Column<Rows>(row, v, column);
    }
    return;
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v)
      F::StoreSum(sums + r * kTileWidth + v * kLanes, sum[r][v]);
  }
}

// Rows of `in` times a block; `store` gets each tile's sums.
template <typename F, typename SumValue, typename Store>
void MultiplyBlock(const Unit* in, int64_t rows, const Unit* block, int64_t units,
                   SumValue* scratch, const Store& store) {
  for (int64_t first = 0; first < units; first += kStepUnits) {
    const int64_t left = units - first;
    const Step<SumValue> step{.in = in + first,
                              .in_stride = units,
                              .block = block + first * kTileWidth,
                              .units = left < kStepUnits ? left : kStepUnits,
                              .first = first == 0,
                              .last = left <= kStepUnits,
                              .scratch = scratch};
    int64_t row = 0;
    for (; row + kTileRows <= rows; row += kTileRows) MultiplyTile<F, kTileRows>(step, row, store);
    for (; row < rows; ++row) MultiplyTile<F, 1>(step, row, store);
  }
}

// What MultiplyBlock keeps of so many rows between its steps.
inline size_t SumsBetweenSteps(int64_t units, int64_t rows) {
  return units <= kStepUnits ? 0 : static_cast<size_t>(rows * kTileWidth);
}

}  // namespace
}  // namespace hfwa::kernels::avx512
