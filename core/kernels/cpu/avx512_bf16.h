#pragma once

// Kernels for processors with AVX512-BF16 (F, BW, VL and DQ too), on plain memory. bf16 values are
// uint16_t. Sums are fp32. A row's result depends on its own inputs alone, not on how rows are
// shared out to threads.
//
// The files behind this header are compiled for that processor alone, so they include nothing that
// others do and that has inline functions: the linker might give their AVX-512 copies to the rest
// of the program.

#include <cstddef>
#include <cstdint>

namespace hfwa::kernels::avx512_bf16 {

// Rows that the kernels compute at a time: 6 x 4 sums, 4 operands and a broadcast fill 32
// registers. Numbers of rows that are multiples of it are shared out best.
inline constexpr int kTileRows = 6;

// Multi-head attention without mask, among the tokens of one image or window: rows of projections,
// which hold q, k and v (or the same values in two or three of these roles). Head h is in columns
// h * head_dim to (h + 1) * head_dim - 1 of each part.
struct Attention {
  int64_t tokens = 0;
  int64_t heads = 0;
  int64_t head_dim = 0;  // a multiple of 16
  int64_t stride = 0;    // values from one row to the next, even
  int64_t q = 0;         // column where each part begins, even
  int64_t k = 0;
  int64_t v = 0;

  // Values of a head's packed keys and values together.
  size_t packed_size() const;
  // Bytes that AttendRows works in.
  size_t scratch_bytes() const;
};

// What softmax is taken of: scale * q . k for 1 / sqrt(head_dim), or with these, cosines.
struct Cosine {
  const float* q_factors = nullptr;  // [tokens] scale / |q|
  const float* k_factors = nullptr;  // [tokens] 1 / |k|
  const float* bias = nullptr;       // [tokens, tokens], added
};

// Lays out keys and values of one head as the products want them, into packed_size() values.
void PackHead(const Attention& shape, const uint16_t* projections, int64_t head, uint16_t* packed);

// Output of rows first to end - 1 of one head: out[t * heads * head_dim + head * head_dim + ..].
// `cosine` may be null.
void AttendRows(const Attention& shape, const uint16_t* projections, int64_t head,
                const uint16_t* packed, const Cosine* cosine, int64_t first, int64_t end,
                uint16_t* out, void* scratch);

// factors[t] = scale / max(|x|, 1e-12) of one head's part that begins at column `part`.
void InverseNorms(const Attention& shape, const uint16_t* projections, int64_t part, int64_t head,
                  float scale, float* factors);

// out = layer norm of x, rows of `width` values, a multiple of 16.
void Norm(const float* x, const float* weight, const float* bias, float eps, int64_t rows,
          int64_t width, uint16_t* out);

// A matrix of `count` rows of `width` values (even) that others are multiplied with, in blocks of
// 64 rows: a linear map's weight, or what tokens are matched against.
struct PackedRows {
  static constexpr int64_t kBlock = 64;

  int64_t count = 0;
  int64_t width = 0;

  int64_t blocks() const;
  size_t packed_size() const;  // values
};

// Rows first to first + rows - 1 of the packed memory, which starts as zeros; and back.
void PackRows(const PackedRows& shape, const float* values, int64_t first, int64_t rows,
              uint16_t* packed);
void UnpackRows(const PackedRows& shape, const uint16_t* packed, int64_t first, int64_t rows,
                float* values);

enum class Activation { kNone, kQuickGelu, kGelu, kRelu };

// What a product is for: either out[r][n] = activation(sum + bias[n]), or x[r][n] += sum + bias[n].
struct Epilogue {
  const float* bias = nullptr;  // [count] or null
  Activation activation = Activation::kNone;
  uint16_t* out = nullptr;  // [rows, count]
  float* x = nullptr;       // [rows, count]
};

// Floats that Multiply works in, for so many rows; 0 where it needs none.
size_t MultiplyScratch(const PackedRows& shape, int64_t rows);

// Products of rows of `in` [rows, width] with block `block` of the packed matrix, and with what it
// is for. `epilogue` and `in` point to the first row.
void Multiply(const PackedRows& shape, const uint16_t* packed, int64_t block, const uint16_t* in,
              int64_t rows, const Epilogue& epilogue, float* scratch);

// best[t] = largest dot product of token t with rows first to end - 1; tokens one after the other.
void RowMaximum(const PackedRows& shape, const uint16_t* packed, int64_t first, int64_t end,
                const uint16_t* tokens, int64_t count, float* best);

// Row i of `to` is row index[i] of `from`, rounded to the nearest, ties to even; width a multiple
// of 16.
void GatherToBf16(const float* from, const int64_t* index, int64_t rows, int64_t width,
                  uint16_t* to);

}  // namespace hfwa::kernels::avx512_bf16
