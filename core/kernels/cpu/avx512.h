#pragma once

// Kernels for processors with AVX-512 (F, BW, VL and DQ), on plain memory. Values are T: float, or
// uint16_t for bf16, which needs AVX512-BF16 too; int8 products need AVX512-VNNI. Sums are fp32
// (int32 for int8). A row's result depends on its own inputs alone, not on how rows are shared out
// to threads.
//
// The files behind this header are compiled for such a processor alone, so they include nothing
// that others do and that has inline functions: the linker might give their AVX-512 copies to the
// rest of the program.

#include <cstddef>
#include <cstdint>

namespace hfwa::kernels::avx512 {

// Rows that the kernels compute at a time: 6 x 4 sums, 4 operands and a broadcast fill 32
// registers. Numbers of rows that are multiples of it are shared out best.
inline constexpr int kTileRows = 6;

// Values of the inner dimension are taken four bytes at a time.
template <typename T>
inline constexpr int64_t kUnit = sizeof(float) / sizeof(T);

// Multi-head attention without mask, among the tokens of one image or window: rows of projections,
// which hold q, k and v (or the same values in two or three of these roles). Head h is in columns
// h * head_dim to (h + 1) * head_dim - 1 of each part.
struct Attention {
  int64_t tokens = 0;
  int64_t heads = 0;
  int64_t head_dim = 0;  // a multiple of 16
  int64_t stride = 0;    // values from one row to the next, a multiple of kUnit
  int64_t q = 0;         // column where each part begins, multiples of kUnit
  int64_t k = 0;
  int64_t v = 0;
};

// What softmax is taken of: scale * q . k for 1 / sqrt(head_dim), or with these, cosines.
struct Cosine {
  const float* q_factors = nullptr;  // [tokens] scale / |q|
  const float* k_factors = nullptr;  // [tokens] 1 / |k|
  const float* bias = nullptr;       // [tokens, tokens], added
};

// A matrix of `count` rows of `width` values (a multiple of kUnit) that others are multiplied with,
// in blocks of 64 rows: a linear map's weight, or what tokens are matched against.
struct PackedRows {
  static constexpr int64_t kBlock = 64;

  int64_t count = 0;
  int64_t width = 0;

  int64_t blocks() const { return (count + kBlock - 1) / kBlock; }
  size_t packed_size() const { return static_cast<size_t>(blocks() * kBlock * width); }  // values
};

enum class Activation { kNone, kQuickGelu, kGelu, kRelu };

// What a product is for: either out[r][n] = activation(sum + bias[n]), or x[r][n] += sum + bias[n].
template <typename T>
struct Epilogue {
  const float* bias = nullptr;  // [count] or null
  Activation activation = Activation::kNone;
  T* out = nullptr;    // [rows, count]
  float* x = nullptr;  // [rows, count]
};

template <typename T>
struct Avx512 {
  // Values of a head's packed keys and values together, and bytes that AttendRows works in.
  static size_t PackedHeadSize(const Attention& shape);
  static size_t AttendScratch(const Attention& shape);

  // Lays out keys and values of one head as the products want them.
  static void PackHead(const Attention& shape, const T* projections, int64_t head, T* packed);

  // Output of rows first to end - 1 of one head: out[t * heads * head_dim + head * head_dim + ..].
  // `cosine` may be null.
  static void AttendRows(const Attention& shape, const T* projections, int64_t head,
                         const T* packed, const Cosine* cosine, int64_t first, int64_t end, T* out,
                         void* scratch);

  // factors[t] = scale / max(|x|, 1e-12) of one head's part that begins at column `part`.
  static void InverseNorms(const Attention& shape, const T* projections, int64_t part, int64_t head,
                           float scale, float* factors);

  // out = layer norm of x, rows of `width` values, a multiple of 16.
  static void Norm(const float* x, const float* weight, const float* bias, float eps, int64_t rows,
                   int64_t width, T* out);

  // Row i of `to` is row index[i] of `from`, rounded to the nearest, ties to even; width a multiple
  // of 16.
  static void Gather(const float* from, const int64_t* index, int64_t rows, int64_t width, T* to);

  // Rows first to first + rows - 1 of the packed memory, which starts as zeros; and back.
  static void PackRows(const PackedRows& shape, const float* values, int64_t first, int64_t rows,
                       T* packed);
  static void UnpackRows(const PackedRows& shape, const T* packed, int64_t first, int64_t rows,
                         float* values);

  // Floats that Multiply works in, for so many rows; 0 where it needs none.
  static size_t MultiplyScratch(const PackedRows& shape, int64_t rows);

  // Products of rows of `in` [rows, width] with block `block` of the packed matrix, and with what
  // it is for. `epilogue` and `in` point to the first row.
  static void Multiply(const PackedRows& shape, const T* packed, int64_t block, const T* in,
                       int64_t rows, const Epilogue<T>& epilogue, float* scratch);

  // best[t] = largest dot product of token t with rows first to end - 1; tokens one after the
  // other.
  static void RowMaximum(const PackedRows& shape, const T* packed, int64_t first, int64_t end,
                         const T* tokens, int64_t count, float* best);
};

extern template struct Avx512<float>;
extern template struct Avx512<uint16_t>;

// A matrix as PackedRows in int8 with a scale a row; width a multiple of 4. Rows that are
// multiplied with it have a scale each too, and are stored with 128 added.
struct PackedInt8 {
  PackedRows shape;
  const int8_t* values = nullptr;    // [packed_size()]
  const float* scales = nullptr;     // [blocks() * 64]
  const int32_t* offsets = nullptr;  // [blocks() * 64], -128 * sum of the row
};

// Products in int8 of rows of T.
template <typename T>
struct Avx512Int8 {
  // Rows to the nearest multiple of their scale, largest magnitude / 127. The scale of a row with
  // what is not a finite number is NaN.
  static void Quantize(const T* rows, int64_t count, int64_t width, uint8_t* values, float* scales);

  // The packed memory of `rows` [count, width], whose three parts start as zeros.
  static void Pack(const PackedRows& shape, const float* rows, int8_t* values, float* scales,
                   int32_t* offsets);

  // int32 values that Multiply works in, for so many rows.
  static size_t MultiplyScratch(const PackedRows& shape, int64_t rows);

  // As Avx512::Multiply, of quantized rows.
  static void Multiply(const PackedInt8& packed, int64_t block, const uint8_t* in,
                       const float* scales, int64_t rows, const Epilogue<T>& epilogue,
                       int32_t* scratch);
};

extern template struct Avx512Int8<float>;
extern template struct Avx512Int8<uint16_t>;

// Who multiplies tiles: AMX, or plain code that does what it is described to do, for tests.
enum class Tiles { kHardware, kSoftware };

// The same products on the tile registers of AMX, bf16 besides. The process has been allowed to use
// them (cpu_kernels.cc); rows of the inputs are a multiple of 64 bytes. Sums are taken in another
// order than Avx512's.
template <Tiles kTiles>
struct Amx {
  static constexpr int64_t kRowBytes = 64;

  static void Multiply(const PackedRows& shape, const uint16_t* packed, int64_t block,
                       const uint16_t* in, int64_t rows, const Epilogue<uint16_t>& epilogue);
  static void MultiplyInt8(const PackedInt8& packed, int64_t block, const uint8_t* in,
                           const float* scales, int64_t rows, const Epilogue<uint16_t>& epilogue);
};

extern template struct Amx<Tiles::kHardware>;
extern template struct Amx<Tiles::kSoftware>;

}  // namespace hfwa::kernels::avx512
