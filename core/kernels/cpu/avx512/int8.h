#pragma once

// Linear maps in int8. For files that are compiled for AVX512-VNNI.

#include "core/kernels/cpu/avx512/multiply.h"

namespace hfwa::kernels::avx512 {
namespace {  // NOLINT(google-build-namespaces)

inline constexpr float kInt8Max = 127.0F;
inline constexpr int32_t kZeroPoint = 128;  // rows are unsigned where weights are signed

struct Int8Format {
  using Sum = __m512i;
  static Sum Zero() { return _mm512_setzero_si512(); }
  static Sum LoadSum(const int32_t* from) { return _mm512_loadu_si512(from); }
  static void StoreSum(int32_t* to, Sum sum) { _mm512_storeu_si512(to, sum); }
  static Sum MultiplyAdd(Sum sum, __m512i row, __m512i columns) {
    return _mm512_dpbusd_epi32(sum, row, columns);
  }
};

template <typename T>
struct Int8Store {
  const PackedInt8& packed;
  const Epilogue<T>& epilogue;
  const float* scales;  // of the rows
  int64_t first;        // the block's first column

  template <int Rows>
  void Column(int64_t row, int vector, const __m512i (&sum)[Rows]) const {
    const int64_t column = first + vector * kLanes, row_size = packed.shape.count;
    if (column >= row_size) return;
    const __mmask16 lanes = Lanes(row_size - column);
    const __m512 bias = epilogue.bias == nullptr
                            ? _mm512_setzero_ps()
                            : _mm512_maskz_loadu_ps(lanes, epilogue.bias + column);
    const __m512 scale = _mm512_loadu_ps(packed.scales + column);
    const __m512i offset = _mm512_loadu_si512(packed.offsets + column);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const __m512 exact = _mm512_cvtepi32_ps(_mm512_add_epi32(sum[r], offset));
      const __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(scales[row + r]));
      Finish(epilogue, _mm512_mul_ps(exact, both), bias, lanes, (row + r) * row_size + column);
    }
  }
};

inline float LargestMagnitude(const float* row, int64_t width) {
  float largest = 0;
  for (int64_t i = 0; i < width; ++i) {
    const float magnitude = row[i] < 0 ? -row[i] : row[i];
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}

}  // namespace

template <typename T>
void Avx512Int8<T>::Quantize(const T* rows, int64_t count, int64_t width, uint8_t* values,
                             float* scales) {
  for (int64_t row = 0; row < count; ++row, rows += width, values += width) {
    __m512 largest = _mm512_setzero_ps();
    __m512 infect = _mm512_setzero_ps();  // 0 unless a value is not finite, then NaN
    for (int64_t i = 0; i < width; i += kLanes) {
      const __m512 x = Format<T>::LoadSome(rows + i, Lanes(width - i));
      largest = _mm512_max_ps(largest, _mm512_abs_ps(x));
      infect = _mm512_fmadd_ps(x, _mm512_setzero_ps(), infect);
    }
    const float magnitude = _mm512_reduce_max_ps(largest);
    scales[row] = magnitude / kInt8Max + _mm512_reduce_add_ps(infect);
    const __m512 inverse = _mm512_set1_ps(magnitude > 0 ? kInt8Max / magnitude : 0.0F);
    for (int64_t i = 0; i < width; i += kLanes) {
      const __mmask16 lanes = Lanes(width - i);
      const __m512i whole =
          _mm512_cvtps_epi32(_mm512_mul_ps(Format<T>::LoadSome(rows + i, lanes), inverse));
      const __m512i shifted = _mm512_add_epi32(whole, _mm512_set1_epi32(kZeroPoint));
      _mm512_mask_cvtusepi32_storeu_epi8(values + i, lanes, shifted);
    }
  }
}

template <typename T>
void Avx512Int8<T>::Pack(const PackedRows& shape, const float* rows, int8_t* values, float* scales,
                         int32_t* offsets) {
  const int64_t units = shape.width / 4;
  for (int64_t row = 0; row < shape.count; ++row, rows += shape.width) {
    const float magnitude = LargestMagnitude(rows, shape.width);
    const float inverse = magnitude > 0 ? kInt8Max / magnitude : 0.0F;
    float infect = 0;  // 0 unless a weight is not finite, then NaN
    int32_t sum = 0;
    int8_t* column = values + 4 * (row / kTileWidth * units * kTileWidth + row % kTileWidth);
    for (int64_t i = 0; i < shape.width; ++i) {
      const int32_t whole = _mm_cvtss_si32(_mm_set_ss(rows[i] * inverse));
      column[i / 4 * kTileWidth * 4 + i % 4] = static_cast<int8_t>(whole);
      sum += whole;
      infect += rows[i] * 0.0F;
    }
    scales[row] = magnitude / kInt8Max + infect;
    offsets[row] = -kZeroPoint * sum;
  }
}

template <typename T>
size_t Avx512Int8<T>::MultiplyScratch(const PackedRows& shape, int64_t rows) {
  return SumsBetweenSteps(shape.width / 4, rows);
}

template <typename T>
void Avx512Int8<T>::Multiply(const PackedInt8& packed, int64_t block, const uint8_t* in,
                             const float* scales, int64_t rows, const Epilogue<T>& epilogue,
                             int32_t* scratch) {
  const int64_t units = packed.shape.width / 4;
  MultiplyBlock<Int8Format>(Units(in), rows, Units(packed.values) + block * kTileWidth * units,
                            units, scratch,
                            Int8Store<T>{packed, epilogue, scales, block * kTileWidth});
}

}  // namespace hfwa::kernels::avx512
