#include "core/kernels/cpu/avx512_bf16.h"
#include "core/kernels/cpu/avx512_bf16/tile.h"

namespace hfwa::kernels::avx512_bf16 {
namespace {

// Pairs of the inner dimension that Multiply takes at a time: with them a block of 64 columns fills
// an eighth of a small second-level cache, and six rows a quarter of a first-level one.
constexpr int64_t kStepPairs = 512;

// 1 / x for positive x, to fp32's last bits.
__m512 Reciprocal(__m512 x) {
  const __m512 y = _mm512_rcp14_ps(x);
  return _mm512_mul_ps(y, _mm512_fnmadd_ps(x, y, _mm512_set1_ps(2.0F)));
}

// e^x for x <= 0.
__m512 ExpOfNegative(__m512 x) { return Exp2(_mm512_mul_ps(x, _mm512_set1_ps(kLog2E))); }

// x sigmoid(1.702 x)
__m512 QuickGelu(__m512 x) {
  const __m512 z = _mm512_mul_ps(x, _mm512_set1_ps(1.702F));
  const __m512 e = ExpOfNegative(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_abs_ps(z)));
  // sigmoid(z) is 1 / (1 + e) for z >= 0 and e / (1 + e) below, e = exp(-|z|).
  const __mmask16 negative = _mm512_cmp_ps_mask(z, _mm512_setzero_ps(), _CMP_LT_OQ);
  const __m512 one = _mm512_set1_ps(1.0F);
  const __m512 above = _mm512_mask_blend_ps(negative, one, e);
  return _mm512_mul_ps(x, _mm512_mul_ps(above, Reciprocal(_mm512_add_ps(one, e))));
}

// x/2 (1 + erf(x / sqrt 2)); erf by Abramowitz and Stegun 7.1.26, error below 1.5e-7.
__m512 Gelu(__m512 x) {
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

__m512 Activate(Activation activation, __m512 x) {
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

// Columns of the result that a tile covers, and what becomes of it.
struct Target {
  const Epilogue& epilogue;
  int64_t row_size;  // of the result
  int64_t column;    // the tile's first
};

template <int Rows>
void Finish(const Target& target, int64_t row, const __m512 (&sum)[Rows][kTileVectors]) {
  const Epilogue& e = target.epilogue;
#pragma GCC unroll 4
  for (int v = 0; v < kTileVectors; ++v) {
    const int64_t column = target.column + v * kLanes;
    if (column >= target.row_size) return;
    const __mmask16 lanes = Lanes(target.row_size - column);
    const __m512 bias =
        e.bias == nullptr ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(lanes, e.bias + column);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const int64_t at = (row + r) * target.row_size + column;
      const __m512 y = _mm512_add_ps(sum[r][v], bias);
      if (e.x != nullptr) {
        const __m512 x = _mm512_maskz_loadu_ps(lanes, e.x + at);
        _mm512_mask_storeu_ps(e.x + at, lanes, _mm512_add_ps(x, y));
      } else {
        const __m256bh rounded = _mm512_cvtneps_pbh(Activate(e.activation, y));
        _mm256_mask_storeu_epi16(e.out + at, lanes, reinterpret_cast<__m256i>(rounded));
      }
    }
  }
}

// A step of Multiply: so many of the inner dimension's pairs.
struct Step {
  const Pair* in;
  int64_t in_stride;
  const Pair* block;
  int64_t pairs;
  bool first;
  bool last;
  float* scratch;  // sums so far, [rows, 64]; null where there is one step
};

template <int Rows>
void MultiplyTile(const Step& step, const Target& target, int64_t row) {
  __m512 sum[Rows][kTileVectors];
  float* sums = step.scratch + row * kTileWidth;
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) {
      sum[r][v] =
          step.first ? _mm512_setzero_ps() : _mm512_loadu_ps(sums + r * kTileWidth + v * kLanes);
    }
  }
  Accumulate<Rows, kTileVectors>(step.in + row * step.in_stride, step.in_stride, step.block,
                                 kTileWidth, step.pairs, sum);
  if (step.last) return Finish<Rows>(target, row, sum);
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v)
      _mm512_storeu_ps(sums + r * kTileWidth + v * kLanes, sum[r][v]);
  }
}

// best[r] = the larger of it and the largest product of token r with any column that `kept` marks.
template <int Rows>
void MaximumTile(const Pair* tokens, int64_t pairs, const Pair* block, uint64_t kept, float* best) {
  __m512 sum[Rows][kTileVectors];
  Tile<Rows, kTileVectors>(tokens, pairs, block, kTileWidth, pairs, sum);
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
uint64_t Kept(int64_t start, int64_t first, int64_t end) {
  const int64_t low = first > start ? first - start : 0;
  const int64_t high = end - start < kTileWidth ? end - start : kTileWidth;
  const uint64_t below_high = high >= kTileWidth ? ~uint64_t{0} : (uint64_t{1} << high) - 1;
  return below_high & ~((uint64_t{1} << low) - 1);
}

}  // namespace

int64_t PackedRows::blocks() const { return RoundUp(count, kBlock) / kBlock; }

size_t PackedRows::packed_size() const {
  return static_cast<size_t>(RoundUp(count, kTileWidth) * width);
}

void PackRows(const PackedRows& shape, const float* values, int64_t first, int64_t rows,
              uint16_t* packed) {
  const int64_t pairs = shape.width / 2;
  auto* to = reinterpret_cast<Pair*>(packed);
  for (int64_t row = first; row < first + rows; ++row, values += shape.width) {
    Pair* column = to + row / kTileWidth * pairs * kTileWidth + row % kTileWidth;
    for (int64_t p = 0; p < pairs; ++p) {
      const __m128 pair =
          _mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(values + 2 * p)));
      const auto rounded = reinterpret_cast<__m128i>(_mm_cvtneps_pbh(pair));
      column[p * kTileWidth] = static_cast<Pair>(_mm_cvtsi128_si32(rounded));
    }
  }
}

void UnpackRows(const PackedRows& shape, const uint16_t* packed, int64_t first, int64_t rows,
                float* values) {
  const int64_t pairs = shape.width / 2;
  const auto* from = reinterpret_cast<const Pair*>(packed);
  for (int64_t row = first; row < first + rows; ++row, values += shape.width) {
    const Pair* column = from + row / kTileWidth * pairs * kTileWidth + row % kTileWidth;
    for (int64_t p = 0; p < pairs; ++p) {
      const Pair pair = column[p * kTileWidth];
      const __m128i both =
          _mm_set_epi32(0, 0, static_cast<int>(pair & 0xFFFF0000U), static_cast<int>(pair << 16));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(values + 2 * p), both);
    }
  }
}

size_t MultiplyScratch(const PackedRows& shape, int64_t rows) {
  return shape.width / 2 <= kStepPairs ? 0 : static_cast<size_t>(rows * kTileWidth);
}

void Multiply(const PackedRows& shape, const uint16_t* packed, int64_t block, const uint16_t* in,
              int64_t rows, const Epilogue& epilogue, float* scratch) {
  const int64_t pairs = shape.width / 2;
  const Target target{epilogue, shape.count, block * kTileWidth};
  const auto* from = reinterpret_cast<const Pair*>(in);
  const Pair* columns = reinterpret_cast<const Pair*>(packed) + block * kTileWidth * pairs;
  for (int64_t first = 0; first < pairs; first += kStepPairs) {
    const int64_t left = pairs - first;
    const Step step{.in = from + first,
                    .in_stride = pairs,
                    .block = columns + first * kTileWidth,
                    .pairs = left < kStepPairs ? left : kStepPairs,
                    .first = first == 0,
                    .last = left <= kStepPairs,
                    .scratch = scratch};
    int64_t row = 0;
    for (; row + kTileRows <= rows; row += kTileRows) MultiplyTile<kTileRows>(step, target, row);
    for (; row < rows; ++row) MultiplyTile<1>(step, target, row);
  }
}

void RowMaximum(const PackedRows& shape, const uint16_t* packed, int64_t first, int64_t end,
                const uint16_t* tokens, int64_t count, float* best) {
  const int64_t pairs = shape.width / 2;
  const auto* rows = reinterpret_cast<const Pair*>(packed);
  const auto* from = reinterpret_cast<const Pair*>(tokens);
  for (int64_t t = 0; t < count; ++t) best[t] = kLowest;
  // A block stays in the cache while all tokens pass by.
  for (int64_t start = first / kTileWidth * kTileWidth; start < end; start += kTileWidth) {
    const Pair* block = rows + start * pairs;
    const uint64_t kept = Kept(start, first, end);
    int64_t t = 0;
    for (; t + kTileRows <= count; t += kTileRows)
      MaximumTile<kTileRows>(from + t * pairs, pairs, block, kept, best + t);
    for (; t < count; ++t) MaximumTile<1>(from + t * pairs, pairs, block, kept, best + t);
  }
  // A token with NaN has no product that is larger than another.
  for (int64_t t = 0; t < count; ++t) {
    if (!(best[t] > kLowest)) best[t] = __builtin_nanf("");
  }
}

}  // namespace hfwa::kernels::avx512_bf16
