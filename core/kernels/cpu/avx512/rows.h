#pragma once

// Packed matrices: linear maps, and what tokens are matched against.

#include "core/kernels/cpu/avx512/multiply.h"

namespace hfwa::kernels::avx512 {
namespace {  // NOLINT(google-build-namespaces)

// Where the sums of a block go, with no scale to apply.
template <typename T>
struct PlainStore {
  const Epilogue<T>& epilogue;
  int64_t row_size;  // of the result
  int64_t first;     // the block's first column

  template <int Rows>
  void Column(int64_t row, int vector, const __m512 (&sum)[Rows]) const {
    const int64_t column = first + vector * kLanes;
    if (column >= row_size) return;
    const __mmask16 lanes = Lanes(row_size - column);
    const __m512 bias = epilogue.bias == nullptr
                            ? _mm512_setzero_ps()
                            : _mm512_maskz_loadu_ps(lanes, epilogue.bias + column);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r)
      Finish(epilogue, sum[r], bias, lanes, (row + r) * row_size + column);
  }
};

// best[r] = the larger of it and the largest product of token r with any column that `kept` marks.
template <typename T, int Rows>
void MaximumTile(const Unit* tokens, int64_t units, const Unit* block, uint64_t kept, float* best) {
  __m512 sum[Rows][kTileVectors];
  Tile<Format<T>, Rows, kTileVectors>(tokens, units, block, kTileWidth, units, sum);
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    __m512 largest = _mm512_set1_ps(kLowest);
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) {
      const auto lanes = static_cast<__mmask16>(kept >> (v * kLanes));
      largest = _mm512_mask_max_ps(largest, lanes, largest, sum[r][v]);
    }
    const float value = _mm512_reduce_max_ps(largest);
    if (value > best[r]) best[r] = value;
  }
}

// Ones for the columns of the block at `start` that are in first .. end - 1.
inline uint64_t Kept(int64_t start, int64_t first, int64_t end) {
  const int64_t low = first > start ? first - start : 0;
  const int64_t high = end - start < kTileWidth ? end - start : kTileWidth;
  const uint64_t below_high = high >= kTileWidth ? ~uint64_t{0} : (uint64_t{1} << high) - 1;
  return below_high & ~((uint64_t{1} << low) - 1);
}

}  // namespace

template <typename T>
void Avx512<T>::PackRows(const PackedRows& shape, const float* values, int64_t first, int64_t rows,
                         T* packed) {
  const int64_t units = shape.width / kUnit<T>;
  for (int64_t row = first; row < first + rows; ++row, values += shape.width) {
    Unit* column = Units(packed) + row / kTileWidth * units * kTileWidth + row % kTileWidth;
    for (int64_t u = 0; u < units; ++u)
      column[u * kTileWidth] = Format<T>::FromFloats(values + u * kUnit<T>);
  }
}

template <typename T>
void Avx512<T>::UnpackRows(const PackedRows& shape, const T* packed, int64_t first, int64_t rows,
                           float* values) {
  const int64_t units = shape.width / kUnit<T>;
  for (int64_t row = first; row < first + rows; ++row, values += shape.width) {
    const Unit* column = Units(packed) + row / kTileWidth * units * kTileWidth + row % kTileWidth;
    for (int64_t u = 0; u < units; ++u)
      Format<T>::ToFloats(column[u * kTileWidth], values + u * kUnit<T>);
  }
}

template <typename T>
size_t Avx512<T>::MultiplyScratch(const PackedRows& shape, int64_t rows) {
  return SumsBetweenSteps(shape.width / kUnit<T>, rows);
}

template <typename T>
void Avx512<T>::Multiply(const PackedRows& shape, const T* packed, int64_t block, const T* in,
                         int64_t rows, const Epilogue<T>& epilogue, float* scratch) {
  const int64_t units = shape.width / kUnit<T>;
  MultiplyBlock<Format<T>>(Units(in), rows, Units(packed) + block * kTileWidth * units, units,
                           scratch, PlainStore<T>{epilogue, shape.count, block * kTileWidth});
}

template <typename T>
void Avx512<T>::RowMaximum(const PackedRows& shape, const T* packed, int64_t first, int64_t end,
                           const T* tokens, int64_t count, float* best) {
  const int64_t units = shape.width / kUnit<T>;
  for (int64_t t = 0; t < count; ++t) best[t] = kLowest;
  // A block stays in the cache while all tokens pass by.
  for (int64_t start = first / kTileWidth * kTileWidth; start < end; start += kTileWidth) {
    const Unit* block = Units(packed) + start * units;
    const uint64_t kept = Kept(start, first, end);
    int64_t t = 0;
    for (; t + kTileRows <= count; t += kTileRows)
      MaximumTile<T, kTileRows>(Units(tokens) + t * units, units, block, kept, best + t);
    for (; t < count; ++t)
      MaximumTile<T, 1>(Units(tokens) + t * units, units, block, kept, best + t);
  }
  // A token with NaN has no product that is larger than another.
  for (int64_t t = 0; t < count; ++t) {
    if (!(best[t] > kLowest)) best[t] = __builtin_nanf("");
  }
}

}  // namespace hfwa::kernels::avx512
