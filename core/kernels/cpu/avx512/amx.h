#pragma once

// Products on the tile registers of AMX: eight of 16 rows of 64 bytes. The packed matrix's layout
// is what they want: 16 units of 16 columns are a tile, as are 16 units of 16 rows of the input.

#include "core/kernels/cpu/avx512/int8.h"
#include "core/kernels/cpu/avx512/rows.h"

namespace hfwa::kernels::avx512 {
namespace {  // NOLINT(google-build-namespaces)

inline constexpr int kTileSide = 16;  // rows of a tile, and units in one of its rows
inline constexpr int kTileBytes = 64;
inline constexpr int kTileCount = 8;

// What LDTILECFG reads.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

// The processor's own. Numbers of tiles are part of the instructions, and the compiler's macros for
// them take literals alone.
struct HardwareTiles {
  static void Configure(const TileConfig& config) { _tile_loadconfig(&config); }
  static void Release() { _tile_release(); }
  template <int kTile>
  static void Zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  template <int kTile>
  static void Load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  static void Store(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kSum, int kRows, int kColumns>
  static void MultiplyBf16() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kRows), "i"(kColumns));
  }
  // Unsigned rows, signed columns.
  template <int kSum, int kRows, int kColumns>
  static void MultiplyInt8() {
    asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kRows), "i"(kColumns));
  }
};

// The same spelt out, for tests on processors without them.
struct SoftwareTiles {
  static void Configure(const TileConfig& config) { state.config = config; }
  static void Release() { state.config = TileConfig(); }
  template <int kTile>
  static void Zero() {
    for (auto& row : state.tiles[kTile]) {
      for (Unit& unit : row) unit = 0;
    }
  }
  template <int kTile>
  static void Load(const void* from, int64_t stride) {
    Zero<kTile>();
    for (int r = 0; r < state.config.rows[kTile]; ++r)
      __builtin_memcpy(state.tiles[kTile][r], static_cast<const char*>(from) + r * stride,
                       state.config.row_bytes[kTile]);
  }
  template <int kTile>
  static void Store(void* to, int64_t stride) {
    for (int r = 0; r < state.config.rows[kTile]; ++r)
      __builtin_memcpy(static_cast<char*>(to) + r * stride, state.tiles[kTile][r],
                       state.config.row_bytes[kTile]);
  }
  template <int kSum, int kRows, int kColumns>
  static void MultiplyBf16() {
    Each<kSum, kRows>([](Unit& sum, int r, int c) {
      float value = 0;
      __builtin_memcpy(&value, &sum, sizeof(value));
      for (int u = 0; u < kTileSide; ++u) {
        float a[2];
        float b[2];
        Format<uint16_t>::ToFloats(state.tiles[kRows][r][u], a);
        Format<uint16_t>::ToFloats(state.tiles[kColumns][u][c], b);
        value += a[0] * b[0] + a[1] * b[1];
      }
      __builtin_memcpy(&sum, &value, sizeof(value));
    });
  }
  template <int kSum, int kRows, int kColumns>
  static void MultiplyInt8() {
    Each<kSum, kRows>([](Unit& sum, int r, int c) {
      for (int u = 0; u < kTileSide; ++u) {
        for (int i = 0; i < 32; i += 8) {
          const auto a = static_cast<int32_t>(state.tiles[kRows][r][u] >> i & 0xFFU);
          const auto b = static_cast<int8_t>(state.tiles[kColumns][u][c] >> i & 0xFFU);
          sum += static_cast<Unit>(a * b);
        }
      }
    });
  }

 private:
  struct State {
    TileConfig config;
    Unit tiles[kTileCount][kTileSide][kTileSide];
  };

  template <int kSum, int kRows, typename Work>
  static void Each(const Work& work) {
    for (int r = 0; r < state.config.rows[kRows]; ++r) {
      for (int c = 0; c < kTileSide; ++c) work(state.tiles[kSum][r][c], r, c);
    }
  }

  static inline thread_local State state = {};
};

// Tiles 0 to 3 hold sums of 32 rows and 32 columns, 4 and 5 the rows, 6 and 7 the columns.
inline constexpr int kBandRows = 2 * kTileSide;
inline constexpr int kBandColumns = 2 * kTileSide;

// The band's second 16 rows are `lower`; none if 0.
inline TileConfig ConfigFor(int64_t upper, int64_t lower) {
  TileConfig config;
  for (int tile = 0; tile < kTileCount; ++tile) {
    const bool is_lower = tile == 2 || tile == 3 || tile == 5;
    const int64_t rows = tile >= 6 ? kTileSide : is_lower ? lower : upper;
    config.rows[tile] = static_cast<uint8_t>(rows);
    config.row_bytes[tile] = rows == 0 ? 0 : kTileBytes;
  }
  return config;
}

// Rows of units `in` times 32 columns of a block, to `sums` [32, 32].
template <typename Registers, bool kInt8, bool kLower>
void MultiplyBand(const Unit* in, const Unit* columns, int64_t units, void* sums) {
  const auto multiply = [](auto sum, auto rows, auto of_columns) {
    if constexpr (kInt8) {
      Registers::template MultiplyInt8<sum.value, rows.value, of_columns.value>();
    } else {
      Registers::template MultiplyBf16<sum.value, rows.value, of_columns.value>();
    }
  };
  const int64_t in_stride = units * static_cast<int64_t>(sizeof(Unit));
  constexpr int64_t kBlockStride = kTileWidth * static_cast<int64_t>(sizeof(Unit));
  constexpr int64_t kSumStride = kBandColumns * static_cast<int64_t>(sizeof(Unit));
  Registers::template Zero<0>();
  Registers::template Zero<1>();
  if constexpr (kLower) {
    Registers::template Zero<2>();
    Registers::template Zero<3>();
  }
  for (int64_t u = 0; u < units; u += kTileSide) {
    const Unit* block = columns + u * kTileWidth;
    Registers::template Load<4>(in + u, in_stride);
    Registers::template Load<6>(block, kBlockStride);
    Registers::template Load<7>(block + kTileSide, kBlockStride);
    multiply(Constant<0>(), Constant<4>(), Constant<6>());
    multiply(Constant<1>(), Constant<4>(), Constant<7>());
    if constexpr (kLower) {
      Registers::template Load<5>(in + kTileSide * units + u, in_stride);
      multiply(Constant<2>(), Constant<5>(), Constant<6>());
      multiply(Constant<3>(), Constant<5>(), Constant<7>());
    }
  }
  auto* to = static_cast<Unit*>(sums);
  Registers::template Store<0>(to, kSumStride);
  Registers::template Store<1>(to + kTileSide, kSumStride);
  if constexpr (kLower) {
    Registers::template Store<2>(to + kTileSide * kBandColumns, kSumStride);
    Registers::template Store<3>(to + kTileSide * kBandColumns + kTileSide, kSumStride);
  }
}

// As MultiplyBlock; `units` is a multiple of 16.
template <typename Registers, typename F, bool kInt8, typename Store>
void MultiplyBlockOnTiles(const Unit* in, int64_t rows, const Unit* block, int64_t units,
                          const Store& store) {
  using SumValue = std::conditional_t<kInt8, int32_t, float>;
  alignas(64) SumValue sums[kBandRows * kBandColumns];
  int64_t configured = 0;
  for (int64_t row = 0; row < rows; row += kBandRows) {
    const int64_t band = rows - row < kBandRows ? rows - row : kBandRows;
    if (band != configured) {
      const int64_t upper = band < kTileSide ? band : kTileSide;
      Registers::Configure(ConfigFor(upper, band - upper));
      configured = band;
    }
    for (int64_t column = 0; column < kTileWidth; column += kBandColumns) {
      if (band > kTileSide) {
        MultiplyBand<Registers, kInt8, true>(in + row * units, block + column, units, sums);
      } else {
        MultiplyBand<Registers, kInt8, false>(in + row * units, block + column, units, sums);
      }
      for (int64_t r = 0; r < band; ++r) {
        for (int64_t v = 0; v < kBandColumns; v += kLanes) {
          const typename F::Sum sum[1] = {F::LoadSum(sums + r * kBandColumns + v)};
          store.template Column<1>(row + r, static_cast<int>((column + v) / kLanes), sum);
        }
      }
    }
  }
  Registers::Release();
}

}  // namespace

template <Tiles kTiles>
void Amx<kTiles>::Multiply(const PackedRows& shape, const uint16_t* packed, int64_t block,
                           const uint16_t* in, int64_t rows, const Epilogue<uint16_t>& epilogue) {
  using Registers = std::conditional_t<kTiles == Tiles::kHardware, HardwareTiles, SoftwareTiles>;
  const int64_t units = shape.width / kUnit<uint16_t>;
  MultiplyBlockOnTiles<Registers, Format<uint16_t>, false>(
      Units(in), rows, Units(packed) + block * kTileWidth * units, units,
      PlainStore<uint16_t>{epilogue, shape.count, block * kTileWidth});
}

template <Tiles kTiles>
void Amx<kTiles>::MultiplyInt8(const PackedInt8& packed, int64_t block, const uint8_t* in,
                               const float* scales, int64_t rows,
                               const Epilogue<uint16_t>& epilogue) {
  using Registers = std::conditional_t<kTiles == Tiles::kHardware, HardwareTiles, SoftwareTiles>;
  const int64_t units = packed.shape.width / 4;
  MultiplyBlockOnTiles<Registers, Int8Format, true>(
      Units(in), rows, Units(packed.values) + block * kTileWidth * units, units,
      Int8Store<uint16_t>{packed, epilogue, scales, block * kTileWidth});
}

}  // namespace hfwa::kernels::avx512
