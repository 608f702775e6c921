#pragma once

#include "core/kernels/cpu/avx512/tile.h"

namespace hfwa::kernels::avx512 {
namespace {  // NOLINT(google-build-namespaces)

// Where a head's parts lie in its packed memory, in units.
template <typename T>
struct Packed {
  // Keys come in blocks of a tile's width, the last one narrower: a tile reads from front to end.
  explicit Packed(const Attention& shape)
      : key_units(shape.head_dim / kUnit<T>),
        keys(RoundUp(shape.tokens, kLanes)),
        value_units(RoundUp(shape.tokens, kUnit<T>) / kUnit<T>) {}

  int64_t key_units;    // rows of the keys' part
  int64_t keys;         // its columns, tokens rounded up
  int64_t value_units;  // rows of the values' part, each of head_dim columns

  int64_t key_size() const { return key_units * keys; }
  int64_t size(const Attention& shape) const { return key_size() + value_units * shape.head_dim; }
};

// What AttendRows works in: scores of a tile's rows, then softmax's weights. A row of either has a
// place for each key.
template <typename T>
struct Scratch {
  Scratch(void* memory, const Packed<T>& packed)
      : scores(static_cast<float*>(memory)),
        stride(packed.keys),
        weights(reinterpret_cast<T*>(scores + kTileRows * stride)) {}

  float* scores;
  int64_t stride;
  T* weights;
};

template <typename T, int Rows, int Vectors>
void ScoreBlock(const Unit* q, int64_t q_stride, const Unit* keys, int64_t units, float* scores,
                int64_t stride) {
  __m512 sum[Rows][Vectors];
  Tile<Format<T>, Rows, Vectors>(q, q_stride, keys, Vectors * kLanes, units, sum);
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) _mm512_storeu_ps(scores + r * stride + v * kLanes, sum[r][v]);
  }
}

// Scores of one row into what softmax is taken of, times log2(e); returns the largest. Columns
// after `count` get the lowest score.
inline float ScaleScores(float* scores, int64_t count, float factor) {
  const __m512 scale = _mm512_set1_ps(factor * kLog2E);
  __m512 largest = _mm512_set1_ps(kLowest);
  for (int64_t i = 0; i < count; i += kLanes) {
    const __m512 lowest = _mm512_set1_ps(kLowest);
    const __m512 scaled =
        _mm512_mask_mul_ps(lowest, Lanes(count - i), _mm512_loadu_ps(scores + i), scale);
    _mm512_storeu_ps(scores + i, scaled);
    largest = _mm512_max_ps(largest, scaled);
  }
  return _mm512_reduce_max_ps(largest);
}

inline float CosineScores(float* scores, int64_t count, float q_factor, const float* k_factors,
                          const float* bias) {
  const __m512 scale = _mm512_set1_ps(q_factor * kLog2E);
  const __m512 log2e = _mm512_set1_ps(kLog2E);
  __m512 largest = _mm512_set1_ps(kLowest);
  for (int64_t i = 0; i < count; i += kLanes) {
    const __mmask16 lanes = Lanes(count - i);
    const __m512 factor = _mm512_mul_ps(scale, _mm512_maskz_loadu_ps(lanes, k_factors + i));
    const __m512 added = _mm512_mul_ps(log2e, _mm512_maskz_loadu_ps(lanes, bias + i));
    const __m512 score = _mm512_fmadd_ps(_mm512_loadu_ps(scores + i), factor, added);
    const __m512 kept = _mm512_mask_blend_ps(lanes, _mm512_set1_ps(kLowest), score);
    _mm512_storeu_ps(scores + i, kept);
    largest = _mm512_max_ps(largest, kept);
  }
  return _mm512_reduce_max_ps(largest);
}

// 2^(score - largest) of one row, for all its places; returns their sum, taken in fp32. Those after
// the last token have next to no weight.
template <typename T>
float Weights(const float* scores, int64_t places, float largest, T* weights) {
  const __m512 offset = _mm512_set1_ps(largest);
  __m512 sum = _mm512_setzero_ps();
  for (int64_t i = 0; i < places; i += kLanes) {
    const __m512 weight = Exp2(_mm512_sub_ps(_mm512_loadu_ps(scores + i), offset));
    sum = _mm512_add_ps(sum, weight);
    Format<T>::Store(weights + i, weight);
  }
  return _mm512_reduce_add_ps(sum);
}

// Sixteen head columns a register, from `out` on, of each row's output.
template <typename T, int Rows, int Vectors>
void ValueBlock(const Unit* weights, int64_t weight_stride, const Unit* values, int64_t head_dim,
                int64_t units, const float* factors, T* out, int64_t out_stride) {
  __m512 sum[Rows][Vectors];
  Tile<Format<T>, Rows, Vectors>(weights, weight_stride, values, head_dim, units, sum);
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    const __m512 factor = _mm512_set1_ps(factors[r]);
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      Format<T>::Store(out + r * out_stride + v * kLanes, _mm512_mul_ps(sum[r][v], factor));
    }
  }
}

// Calls run with the number of registers, at most a tile's, that so many columns fill.
template <typename Run>
void WithVectors(int64_t columns, const Run& run) {
  switch (columns / kLanes) {
    case 1:
      return run(Constant<1>());
    case 2:
      return run(Constant<2>());
    case 3:
      return run(Constant<3>());
    default:
      return run(Constant<kTileVectors>());
  }
}

// A few rows of one head.
template <typename T>
struct RowTile {
  const Attention& shape;
  const Packed<T>& layout;
  const Unit* keys;
  const Unit* values;
  const Cosine* cosine;
  const Scratch<T>& scratch;
};

// Rows `row` and on, whose queries begin at q and whose results go to out.
template <int Rows, typename T>
void AttendTile(const RowTile<T>& tile, int64_t row, const T* q, T* out) {
  const Attention& shape = tile.shape;
  const Packed<T>& layout = tile.layout;
  const Scratch<T>& scratch = tile.scratch;
  for (int64_t column = 0; column < layout.keys; column += kTileWidth) {
    const auto run = [&](auto vectors) {
      ScoreBlock<T, Rows, decltype(vectors)::value>(
          Units(q), shape.stride / kUnit<T>, tile.keys + column * layout.key_units,
          layout.key_units, scratch.scores + column, scratch.stride);
    };
    WithVectors(layout.keys - column, run);
  }
  const float factor = 1.0F / SquareRoot(static_cast<float>(shape.head_dim));
  float factors[Rows];
  for (int r = 0; r < Rows; ++r) {
    float* scores = scratch.scores + r * scratch.stride;
    const Cosine* c = tile.cosine;
    const float largest = c == nullptr
                              ? ScaleScores(scores, shape.tokens, factor)
                              : CosineScores(scores, shape.tokens, c->q_factors[row + r],
                                             c->k_factors, c->bias + (row + r) * shape.tokens);
    factors[r] = 1.0F / Weights(scores, layout.keys, largest, scratch.weights + r * scratch.stride);
  }
  const int64_t width = shape.heads * shape.head_dim;
  for (int64_t column = 0; column < shape.head_dim; column += kTileWidth) {
    const auto run = [&](auto vectors) {
      ValueBlock<T, Rows, decltype(vectors)::value>(
          Units(scratch.weights), scratch.stride / kUnit<T>, tile.values + column, shape.head_dim,
          layout.value_units, factors, out + column, width);
    };
    WithVectors(shape.head_dim - column, run);
  }
}

}  // namespace

template <typename T>
size_t Avx512<T>::PackedHeadSize(const Attention& shape) {
  return static_cast<size_t>(kUnit<T> * Packed<T>(shape).size(shape));
}

template <typename T>
size_t Avx512<T>::AttendScratch(const Attention& shape) {
  return static_cast<size_t>(kTileRows * Packed<T>(shape).keys) * (sizeof(float) + sizeof(T));
}

template <typename T>
void Avx512<T>::PackHead(const Attention& shape, const T* projections, int64_t head, T* packed) {
  const Packed<T> layout(shape);
  const int64_t stride = shape.stride;
  Unit* keys = Units(packed);
  const T* k = projections + shape.k + head * shape.head_dim;
  const __m512i row_offset = _mm512_mullo_epi32(
      _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
      _mm512_set1_epi32(static_cast<int>(stride * static_cast<int64_t>(sizeof(T)))));  // bytes
  for (int64_t column = 0; column < layout.keys; column += kLanes) {
    const int64_t block = column / kTileWidth * kTileWidth;
    const int64_t left = layout.keys - block;
    const int64_t block_width = left < kTileWidth ? left : kTileWidth;
    Unit* to = keys + block * layout.key_units + (column - block);
    const __mmask16 present = Lanes(shape.tokens - column);
    const T* from = k + column * stride;
    for (int64_t u = 0; u < layout.key_units; ++u) {
      const __m512i units = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), present, row_offset,
                                                        from + kUnit<T> * u, 1);
      _mm512_storeu_si512(to + u * block_width, units);
    }
  }
  Unit* values = keys + layout.key_size();
  const T* v = projections + shape.v + head * shape.head_dim;
  for (int64_t u = 0; u < layout.value_units; ++u) {
    const int64_t row = kUnit<T> * u;
    for (int64_t column = 0; column < shape.head_dim; column += kLanes) {
      _mm512_storeu_si512(
          values + u * shape.head_dim + column,
          Format<T>::DownColumns(v + row * stride + column, stride, shape.tokens - row));
    }
  }
}

template <typename T>
void Avx512<T>::AttendRows(const Attention& shape, const T* projections, int64_t head,
                           const T* packed, const Cosine* cosine, int64_t first, int64_t end,
                           T* out, void* scratch_memory) {
  const Packed<T> layout(shape);
  const Scratch<T> scratch(scratch_memory, layout);
  const Unit* keys = Units(packed);
  const RowTile<T> tile{shape, layout, keys, keys + layout.key_size(), cosine, scratch};
  const int64_t width = shape.heads * shape.head_dim, column = head * shape.head_dim;
  for (int64_t row = first; row < end;) {
    const T* q = projections + row * shape.stride + shape.q + column;
    T* to = out + row * width + column;
    if (end - row >= kTileRows) {
      AttendTile<kTileRows>(tile, row, q, to);
      row += kTileRows;
    } else {
      AttendTile<1>(tile, row, q, to);
      row += 1;
    }
  }
}

template <typename T>
void Avx512<T>::InverseNorms(const Attention& shape, const T* projections, int64_t part,
                             int64_t head, float scale, float* factors) {
  for (int64_t t = 0; t < shape.tokens; ++t) {
    const T* x = projections + t * shape.stride + part + head * shape.head_dim;
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < shape.head_dim; i += kLanes) {
      const __m512 value = Format<T>::Load(x + i);
      sum = _mm512_fmadd_ps(value, value, sum);
    }
    const float norm = SquareRoot(_mm512_reduce_add_ps(sum));
    factors[t] = scale / (norm > 1e-12F ? norm : 1e-12F);
  }
}

}  // namespace hfwa::kernels::avx512
