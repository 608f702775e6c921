#pragma once

// One block's part of the matching: a tile of tokens against a chunk of rows, by tensor cores, the
// maximum taken while the products are in registers; no product reaches memory.
//
// `Block` is how a block of kMatchThreads threads runs: on the device (device_block.cuh) or one
// thread after the other (twin_block.h), where tensor cores are spelt out by the instruction set's
// description.

#include "core/kernels/cuda/fragments.h"
#include "core/kernels/cuda/numbers.h"

namespace hfwa::kernels::cuda {

inline constexpr int kMatchThreads = 256;  // 8 warps: 2 along the tokens, 4 along the rows
inline constexpr int kTileTokens = 128;
inline constexpr int kTileRows = 128;
inline constexpr int kStep = 64;   // of the width, a stage
inline constexpr int kPitch = 72;  // values a line in shared memory: 8 lines meet 8 groups of banks
inline constexpr int kStages = 3;  // of the pipeline from global to shared memory
inline constexpr int kChunkTiles = 8;  // tiles of rows that a block walks
inline constexpr int kStageValues = (kTileTokens + kTileRows) * kPitch;
inline constexpr int kMatchSharedBytes = kStages * kStageValues * 2;
// A warp's part of the tile, in fragments of 16 tokens and 8 rows.
inline constexpr int kWarpTokens = kTileTokens / 2;
inline constexpr int kWarpRows = kTileRows / 4;
inline constexpr int kTokenFragments = kWarpTokens / 16;
inline constexpr int kRowFragments = kWarpRows / 8;

HFWA_DEVICE int TokenTiles(int tokens) { return (tokens + kTileTokens - 1) / kTileTokens; }
HFWA_DEVICE int RowChunks(int rows) {
  return (rows + kTileRows * kChunkTiles - 1) / (kTileRows * kChunkTiles);
}

template <typename Block>
struct Matcher {
  struct Registers {
    FragmentC sums[kTokenFragments][kRowFragments];
    // Of tokens lane/4 and lane/4 + 8 of each fragment, over the columns that this thread sees.
    float best[kTokenFragments][2];
  };

  Block& block;
  const MatchTask& task;
  const int width;
  const int first_token;
  const int first_row;
  uint16_t* const shared;

  // A step: a stage of shared memory, a tile of rows and a stretch of the width.
  struct Step {
    int stage;
    int tile_row;
    int column;
  };
  HFWA_DEVICE uint16_t* Stage(const Step& step) const { return shared + step.stage * kStageValues; }
  HFWA_DEVICE bool EndsTile(const Step& step) const { return step.column + kStep >= width; }
  HFWA_DEVICE void Advance(Step& step) const {
    step.stage = step.stage + 1 == kStages ? 0 : step.stage + 1;
    step.tile_row += EndsTile(step) ? kTileRows : 0;
    step.column = EndsTile(step) ? 0 : step.column + kStep;
  }

  // Starts copying what a step needs; lines and columns that are not there become zeros.
  HFWA_DEVICE void Fetch(const Step& step) const {
    const int tile_row = step.tile_row, column = step.column;
    uint16_t* const stage = Stage(step);
    block.ForEach([&](int t) {
      constexpr int kPieces = kStep / kPiece, kLines = kTileTokens + kTileRows;
      for (int i = t; i < kLines * kPieces; i += kMatchThreads) {
        const int line = i / kPieces, k = column + i % kPieces * kPiece;
        const bool token = line < kTileTokens;
        const int row = token ? first_token + line : tile_row + line - kTileTokens;
        const bool there = k < width && row < (token ? task.token_count : task.row_count);
        const uint16_t* const source = token ? task.tokens : task.rows;
        block.CopyAsync16(stage + line * kPitch + i % kPieces * kPiece,
                          there ? source + static_cast<int64_t>(row) * width + k : source, there);
      }
    });
  }

  HFWA_DEVICE void Multiply(typename Block::template PerThread<Registers>& registers,
                            const Step& step) const {
    const uint16_t* const stage = Stage(step);
    HFWA_UNROLL
    for (int k = 0; k < kStep; k += 16) {
      typename Block::template PerThread<FragmentA> a[kTokenFragments];
      typename Block::template PerThread<FragmentB> b[kRowFragments];
      HFWA_UNROLL
      for (int m = 0; m < kTokenFragments; ++m) {
        // Matrices 0 to 3 of 8 x 8: tokens 0-7 and 8-15 of columns 0-7, the same of columns 8-15.
        block.LoadMatrices(
            [&](int t) {
              const int lane = t % 32, line = t / 32 % 2 * kWarpTokens + m * 16 + lane % 16;
              return stage + line * kPitch + k + lane / 16 * 8;
            },
            [&](int t, int matrix) -> uint32_t& { return a[m][t].values[matrix]; });
      }
      HFWA_UNROLL
      for (int n = 0; n < kRowFragments; n += 2) {
        // Rows 0-7 of columns 0-7 and 8-15, rows 8-15 of the same: two fragments.
        block.LoadMatrices(
            [&](int t) {
              const int lane = t % 32, row = lane / 16 * 8 + lane % 8;
              const int line = kTileTokens + t / 64 * kWarpRows + n * 8 + row;
              return stage + line * kPitch + k + lane / 8 % 2 * 8;
            },
            [&](int t, int matrix) -> uint32_t& {
              return b[n + matrix / 2][t].values[matrix % 2];
            });
      }
      HFWA_UNROLL
      for (int m = 0; m < kTokenFragments; ++m) {
        HFWA_UNROLL
        for (int n = 0; n < kRowFragments; ++n) {
          block.template MultiplyAdd<Type::kFp16>(
              [&](int t) -> FragmentC& { return registers[t].sums[m][n]; },
              [&](int t) -> FragmentA& { return a[m][t]; }, b[n]);
        }
      }
    }
  }

  // The tile's products into the maxima.
  HFWA_DEVICE void Reduce(typename Block::template PerThread<Registers>& registers,
                          int tile_row) const {
    block.ForEach([&](int t) {
      Registers& own = registers[t];
      HFWA_UNROLL
      for (int m = 0; m < kTokenFragments; ++m) {
        HFWA_UNROLL
        for (int n = 0; n < kRowFragments; ++n) {
          HFWA_UNROLL
          for (int i = 0; i < 4; ++i) {
            // Value i: token lane/4 (+ 8 from i = 2 on), row lane%4 * 2 (+ 1 where i is odd).
            const int row = tile_row + t / 64 * kWarpRows + n * 8 + t % 4 * 2 + i % 2;
            float& best = own.best[m][i / 2];
            if (row < task.row_count) best = Larger(best, own.sums[m][n].values[i]);
            own.sums[m][n].values[i] = 0;
          }
        }
      }
    });
  }

  HFWA_DEVICE void Write(typename Block::template PerThread<Registers>& registers) const {
    auto* const keys = reinterpret_cast<uint32_t*>(task.maximum);
    HFWA_UNROLL
    for (int m = 0; m < kTokenFragments; ++m) {
      HFWA_UNROLL
      for (int half = 0; half < 2; ++half) {
        // Four threads have columns of one token.
        for (int mask = 1; mask <= 2; mask *= 2) {
          block.ReduceXor(
              mask, [&](int t) -> float& { return registers[t].best[m][half]; },
              [](float x, float y) { return Larger(x, y); });
        }
        block.ForEach([&](int t) {
          const int token = first_token + t / 32 % 2 * kWarpTokens + m * 16 + half * 8 + t % 32 / 4;
          if (t % 4 != 0 || token >= task.token_count) return;
          block.AtomicMax(keys + token, KeyOf(registers[t].best[m][half]));
        });
      }
    }
  }

  HFWA_DEVICE void Run() const {
    const int rows = task.row_count - first_row;
    int tiles = (rows + kTileRows - 1) / kTileRows;
    tiles = tiles < kChunkTiles ? tiles : kChunkTiles;
    const int total = tiles * ((width + kStep - 1) / kStep);
    typename Block::template PerThread<Registers> registers;
    block.ForEach([&](int t) {
      HFWA_UNROLL
      for (int m = 0; m < kTokenFragments; ++m) {
        registers[t].best[m][0] = registers[t].best[m][1] = -INFINITY;
        HFWA_UNROLL
        for (int n = 0; n < kRowFragments; ++n) registers[t].sums[m][n] = {{0, 0, 0, 0}};
      }
    });
    Step fetched{0, first_row, 0}, step = fetched;
    for (int index = 0; index < kStages - 1; ++index) {
      if (index < total) Fetch(fetched);
      Advance(fetched);
      block.CommitCopies();  // an empty group where nothing is left, so that counts stay right
    }
    for (int index = 0; index < total; ++index) {
      block.template AwaitCopies<kStages - 2>();
      block.Sync();  // the step is there for all, and all have done with the one before
      if (index + kStages - 1 < total) Fetch(fetched);
      Advance(fetched);
      block.CommitCopies();
      Multiply(registers, step);
      if (EndsTile(step)) Reduce(registers, step.tile_row);
      Advance(step);
    }
    Write(registers);
  }
};

// The work of block (token_tile, chunk) of `task`; `shared` has kMatchSharedBytes. The keys at
// task.maximum have been cleared.
template <typename Block>
HFWA_DEVICE void MatchBlock(Block& block, const MatchTask& task, int width, int token_tile,
                            int chunk, uint16_t* shared) {
  const int first_token = token_tile * kTileTokens, first_row = chunk * kTileRows * kChunkTiles;
  if (first_token >= task.token_count || first_row >= task.row_count) return;
  Matcher<Block>{block, task, width, first_token, first_row, shared}.Run();
}

}  // namespace hfwa::kernels::cuda
