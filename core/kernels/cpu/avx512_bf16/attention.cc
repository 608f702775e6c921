#include "core/kernels/cpu/avx512_bf16.h"
#include "core/kernels/cpu/avx512_bf16/tile.h"

namespace hfwa::kernels::avx512_bf16 {
namespace {

// Where a head's parts lie in its packed memory, in pairs.
struct Packed {
  // Keys come in blocks of a tile's width, the last one narrower: a tile reads from front to end.
  explicit Packed(const Attention& shape)
      : key_pairs(shape.head_dim / 2),
        keys(RoundUp(shape.tokens, kLanes)),
        value_pairs((shape.tokens + 1) / 2) {}

  int64_t key_pairs;    // rows of the keys' part
  int64_t keys;         // its columns, tokens rounded up
  int64_t value_pairs;  // rows of the values' part, each of head_dim columns

  int64_t key_size() const { return key_pairs * keys; }
  int64_t size(const Attention& shape) const { return key_size() + value_pairs * shape.head_dim; }
};

// What AttendRows works in: scores of a tile's rows in fp32, then as bf16.
struct Scratch {
  Scratch(void* memory, const Packed& packed)
      : scores(static_cast<float*>(memory)),
        stride(packed.keys),
        weights(reinterpret_cast<Pair*>(scores + kTileRows * stride)),
        weight_stride(RoundUp(packed.keys, 2 * kLanes) / 2) {}

  float* scores;
  int64_t stride;
  Pair* weights;          // pairs of bf16
  int64_t weight_stride;  // in pairs
};

template <int Rows, int Vectors>
void ScoreBlock(const Pair* q, int64_t q_stride, const Pair* keys, int64_t pairs, float* scores,
                int64_t stride) {
  __m512 sum[Rows][Vectors];
  Tile<Rows, Vectors>(q, q_stride, keys, Vectors * kLanes, pairs, sum);
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) _mm512_storeu_ps(scores + r * stride + v * kLanes, sum[r][v]);
  }
}

// Scores of one row into what softmax is taken of, times log2(e); returns the largest. Columns
// after `count` get the lowest score.
float ScaleScores(float* scores, int64_t count, float factor) {
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

float CosineScores(float* scores, int64_t count, float q_factor, const float* k_factors,
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

// 2^(score - largest) of one row as bf16; returns their sum, taken in fp32. Columns after the last
// token have next to no weight; those after the last register of scores have none.
float Weights(const float* scores, int64_t count, float largest, Pair* weights,
              int64_t weight_stride) {
  const __m512 offset = _mm512_set1_ps(largest);
  __m512 sum = _mm512_setzero_ps();
  for (int64_t i = 0; i < 2 * weight_stride; i += 2 * kLanes) {
    const __m512 low = Exp2(_mm512_sub_ps(_mm512_loadu_ps(scores + i), offset));
    __m512 high = _mm512_setzero_ps();
    if (i + kLanes < count)
      high = Exp2(_mm512_sub_ps(_mm512_loadu_ps(scores + i + kLanes), offset));
    sum = _mm512_add_ps(sum, _mm512_add_ps(low, high));
    _mm512_storeu_si512(weights + i / 2, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
  }
  return _mm512_reduce_add_ps(sum);
}

// Sixteen head columns from `column` on of each row's output.
template <int Rows, int Vectors>
void ValueBlock(const Pair* weights, int64_t weight_stride, const Pair* values, int64_t head_dim,
                int64_t pairs, const float* factors, uint16_t* out, int64_t out_stride) {
  __m512 sum[Rows][Vectors];
  Tile<Rows, Vectors>(weights, weight_stride, values, head_dim, pairs, sum);
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    const __m512 factor = _mm512_set1_ps(factors[r]);
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      StoreBf16(out + r * out_stride + v * kLanes, _mm512_mul_ps(sum[r][v], factor));
    }
  }
}

template <int N>
struct Constant {
  static constexpr int value = N;
};

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
struct RowTile {
  const Attention& shape;
  const Packed& layout;
  const Pair* keys;
  const Pair* values;
  const Cosine* cosine;
  const Scratch& scratch;
};

// Rows `row` and on, whose queries begin at q and whose results go to out.
template <int Rows>
void AttendTile(const RowTile& tile, int64_t row, const Pair* q, uint16_t* out) {
  const Attention& shape = tile.shape;
  const Packed& layout = tile.layout;
  const Scratch& scratch = tile.scratch;
  for (int64_t column = 0; column < layout.keys; column += kTileWidth) {
    const auto run = [&](auto vectors) {
      ScoreBlock<Rows, decltype(vectors)::value>(
          q, shape.stride / 2, tile.keys + column * layout.key_pairs, layout.key_pairs,
          scratch.scores + column, scratch.stride);
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
    factors[r] = 1.0F / Weights(scores, shape.tokens, largest,
                                scratch.weights + r * scratch.weight_stride, scratch.weight_stride);
  }
  const int64_t width = shape.heads * shape.head_dim;
  for (int64_t column = 0; column < shape.head_dim; column += kTileWidth) {
    const auto run = [&](auto vectors) {
      ValueBlock<Rows, decltype(vectors)::value>(scratch.weights, scratch.weight_stride,
                                                 tile.values + column, shape.head_dim,
                                                 layout.value_pairs, factors, out + column, width);
    };
    WithVectors(shape.head_dim - column, run);
  }
}

}  // namespace

size_t Attention::packed_size() const { return static_cast<size_t>(2 * Packed(*this).size(*this)); }

size_t Attention::scratch_bytes() const {
  const int64_t columns = RoundUp(tokens, 2 * kLanes);
  return static_cast<size_t>(kTileRows * columns) * (sizeof(float) + sizeof(uint16_t));
}

void PackHead(const Attention& shape, const uint16_t* projections, int64_t head, uint16_t* packed) {
  const Packed layout(shape);
  const int64_t stride = shape.stride;
  auto* keys = reinterpret_cast<Pair*>(packed);
  const uint16_t* k = projections + shape.k + head * shape.head_dim;
  const __m512i row_offset =
      _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                         _mm512_set1_epi32(static_cast<int>(stride * 2)));  // bytes
  for (int64_t column = 0; column < layout.keys; column += kLanes) {
    const int64_t block = column / kTileWidth * kTileWidth;
    const int64_t left = layout.keys - block;
    const int64_t block_width = left < kTileWidth ? left : kTileWidth;
    Pair* to = keys + block * layout.key_pairs + (column - block);
    const __mmask16 present = Lanes(shape.tokens - column);
    const uint16_t* from = k + column * stride;
    for (int64_t p = 0; p < layout.key_pairs; ++p) {
      const __m512i pairs =
          _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), present, row_offset, from + 2 * p, 1);
      _mm512_storeu_si512(to + p * block_width, pairs);
    }
  }
  Pair* values = keys + layout.key_size();
  const uint16_t* v = projections + shape.v + head * shape.head_dim;
  for (int64_t p = 0; p < layout.value_pairs; ++p) {
    const uint16_t* first = v + 2 * p * stride;
    const bool has_second = 2 * p + 1 < shape.tokens;
    for (int64_t column = 0; column < shape.head_dim; column += kLanes) {
      const __m512i low = Widen(first + column);
      const __m512i high = has_second ? _mm512_slli_epi32(Widen(first + stride + column), 16)
                                      : _mm512_setzero_si512();
      _mm512_storeu_si512(values + p * shape.head_dim + column, _mm512_or_si512(low, high));
    }
  }
}

void AttendRows(const Attention& shape, const uint16_t* projections, int64_t head,
                const uint16_t* packed, const Cosine* cosine, int64_t first, int64_t end,
                uint16_t* out, void* scratch_memory) {
  const Packed layout(shape);
  const Scratch scratch(scratch_memory, layout);
  const auto* keys = reinterpret_cast<const Pair*>(packed);
  const RowTile tile{shape, layout, keys, keys + layout.key_size(), cosine, scratch};
  const int64_t width = shape.heads * shape.head_dim, column = head * shape.head_dim;
  for (int64_t row = first; row < end;) {
    const auto* q =
        reinterpret_cast<const Pair*>(projections + row * shape.stride + shape.q + column);
    uint16_t* to = out + row * width + column;
    if (end - row >= kTileRows) {
      AttendTile<kTileRows>(tile, row, q, to);
      row += kTileRows;
    } else {
      AttendTile<1>(tile, row, q, to);
      row += 1;
    }
  }
}

void InverseNorms(const Attention& shape, const uint16_t* projections, int64_t part, int64_t head,
                  float scale, float* factors) {
  for (int64_t t = 0; t < shape.tokens; ++t) {
    const uint16_t* x = projections + t * shape.stride + part + head * shape.head_dim;
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < shape.head_dim; i += kLanes) {
      const __m512 value = FromBf16(x + i);
      sum = _mm512_fmadd_ps(value, value, sum);
    }
    const float norm = SquareRoot(_mm512_reduce_add_ps(sum));
    factors[t] = scale / (norm > 1e-12F ? norm : 1e-12F);
  }
}

}  // namespace hfwa::kernels::avx512_bf16
