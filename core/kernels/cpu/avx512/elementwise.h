#pragma once

#include "core/kernels/cpu/avx512/tile.h"

namespace hfwa::kernels::avx512 {

template <typename T>
void Avx512<T>::Norm(const float* x, const float* weight, const float* bias, float eps,
                     int64_t rows, int64_t width, T* out) {
  const auto count = static_cast<float>(width);
  for (int64_t row = 0; row < rows; ++row, x += width, out += width) {
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < width; i += kLanes) sum = _mm512_add_ps(sum, _mm512_loadu_ps(x + i));
    const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / count);
    __m512 squares = _mm512_setzero_ps();
    for (int64_t i = 0; i < width; i += kLanes) {
      const __m512 away = _mm512_sub_ps(_mm512_loadu_ps(x + i), mean);
      squares = _mm512_fmadd_ps(away, away, squares);
    }
    const float variance = _mm512_reduce_add_ps(squares) / count;
    const __m512 factor = _mm512_set1_ps(1.0F / SquareRoot(variance + eps));
    for (int64_t i = 0; i < width; i += kLanes) {
      const __m512 unit = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + i), mean), factor);
      Format<T>::Store(
          out + i, _mm512_fmadd_ps(unit, _mm512_loadu_ps(weight + i), _mm512_loadu_ps(bias + i)));
    }
  }
}

template <typename T>
void Avx512<T>::Gather(const float* from, const int64_t* index, int64_t rows, int64_t width,
                       T* to) {
  for (int64_t row = 0; row < rows; ++row, to += width) {
    const float* values = from + index[row] * width;
    for (int64_t i = 0; i < width; i += kLanes)
      Format<T>::Store(to + i, _mm512_loadu_ps(values + i));
  }
}

}  // namespace hfwa::kernels::avx512
