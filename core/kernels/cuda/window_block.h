#pragma once

// Cosine attention inside one window for one head, by one block: a warp for 16 queries, scores and
// weights in registers throughout. Tokens are read from and written to their own places, so windows
// are neither cut nor merged in memory.

#include "core/kernels/cuda/fragments.h"
#include "core/kernels/cuda/numbers.h"

namespace hfwa::kernels::cuda {

inline constexpr int kWindowLines = WindowTask::kInsideMax;
inline constexpr int kWindowThreads = kWindowLines / 16 * 32;
// Values a line in shared memory: 8 lines meet 8 groups of banks.
inline constexpr int kWindowPitch = WindowTask::kHeadWidthMax + 8;
inline constexpr int kWindowPartValues = kWindowLines * kWindowPitch;
inline constexpr int kScoreFragments = kWindowLines / 8;
inline constexpr int kOutFragments = 8;  // of the head's width at once: registers for two blocks

// Queries, keys and values of a head (one part where they are the same), then the factors.
HFWA_DEVICE int WindowSharedBytes(int parts) {
  return parts * kWindowPartValues * 2 + 2 * kWindowLines * static_cast<int>(sizeof(float));
}

template <Type kType, typename Block>
struct WindowAttender {
  struct Registers {
    FragmentC scores[kScoreFragments];       // of queries lane/4 and lane/4 + 8 of the warp's 16
    FragmentA weights[kScoreFragments / 2];  // of 16 keys each
    FragmentC out[kOutFragments];
    float largest[2];
    float sum[2];
  };
  using PerThread = typename Block::template PerThread<Registers>;
  using A = typename Block::template PerThread<FragmentA>;
  using B = typename Block::template PerThread<FragmentB>;

  Block& block;
  const WindowTask& task;
  const int image;
  const int window;  // of the image
  const int head;
  uint16_t* const shared;

  HFWA_DEVICE uint16_t* Part(int part) const { return shared + part * kWindowPartValues; }
  HFWA_DEVICE uint16_t* Queries() const { return Part(0); }
  HFWA_DEVICE uint16_t* Keys() const { return Part(task.parts == 1 ? 0 : 1); }
  HFWA_DEVICE uint16_t* Values() const { return Part(task.parts - 1); }
  // One over the length, of queries (with the head's scale) and of keys.
  HFWA_DEVICE float* Factors(int side) const {
    return reinterpret_cast<float*>(Part(task.parts)) + side * kWindowLines;
  }
  HFWA_DEVICE int width() const { return task.heads * task.head_width; }
  // Row of `in` and `out` of a token of the window.
  HFWA_DEVICE int64_t Place(int token) const {
    return static_cast<int64_t>(image) * task.tokens + task.order[window * task.inside + token];
  }

  // Lines that are not there become zeros.
  HFWA_DEVICE void Fetch() const {
    const int pieces = task.head_width / kPiece;
    block.ForEach([&](int t) {
      for (int i = t; i < task.parts * kWindowLines * pieces; i += kWindowThreads) {
        const int piece = i % pieces, line = i / pieces % kWindowLines,
                  part = i / pieces / kWindowLines;
        const bool there = line < task.inside;
        const int64_t row = (there ? Place(line) : 0) * task.parts + part;
        block.CopyAsync16(Part(part) + line * kWindowPitch + piece * kPiece,
                          task.in + row * width() + head * task.head_width + piece * kPiece, there);
      }
    });
    block.CommitCopies();
    block.template AwaitCopies<0>();
    block.Sync();
  }

  // Two threads a line.
  HFWA_DEVICE void Measure() const {
    for (int side = 0; side < 2; ++side) {
      typename Block::template PerThread<float> sums;
      block.ForEach([&](int t) {
        const uint16_t* const line = (side == 0 ? Queries() : Keys()) + t / 2 * kWindowPitch;
        sums[t] = 0;
        for (int i = t % 2 * kPiece; i < task.head_width; i += 2 * kPiece) {
          const Piece piece = *reinterpret_cast<const Piece*>(line + i);
          HFWA_UNROLL
          for (int j = 0; j < kPiece; ++j) {
            const float value = Load16<kType>(piece.values[j]);
            sums[t] += value * value;
          }
        }
      });
      block.ReduceXor(
          1, [&](int t) -> float& { return sums[t]; }, [](float x, float y) { return x + y; });
      block.ForEach([&](int t) {
        const float length = sqrtf(sums[t]);
        Factors(side)[t / 2] = (side == 0 ? task.scale[head] : 1.0F) /
                               (length < kCosineEpsilon ? kCosineEpsilon : length);
      });
    }
    block.Sync();
  }

  // scores = q kᵀ.
  HFWA_DEVICE void Score(PerThread& registers) const {
    block.ForEach([&](int t) {
      HFWA_UNROLL
      for (int n = 0; n < kScoreFragments; ++n) registers[t].scores[n] = {{0, 0, 0, 0}};
    });
    for (int k = 0; k < task.head_width; k += 16) {
      A a;
      block.LoadMatrices(
          [&](int t) {
            const int lane = t % 32, line = t / 32 * 16 + lane % 16;
            return Queries() + line * kWindowPitch + k + lane / 16 * 8;
          },
          [&](int t, int matrix) -> uint32_t& { return a[t].values[matrix]; });
      HFWA_UNROLL
      for (int n = 0; n < kScoreFragments; n += 2) {
        if (n * 8 >= task.inside) continue;
        B b[2];
        // Keys 0-7 of columns 0-7 and 8-15, keys 8-15 of the same.
        block.LoadMatrices(
            [&](int t) {
              const int lane = t % 32, line = n * 8 + lane / 16 * 8 + lane % 8;
              return Keys() + line * kWindowPitch + k + lane / 8 % 2 * 8;
            },
            [&](int t, int matrix) -> uint32_t& { return b[matrix / 2][t].values[matrix % 2]; });
        HFWA_UNROLL
        for (int i = 0; i < 2; ++i) {
          block.template MultiplyAdd<kType>(
              [&](int t) -> FragmentC& { return registers[t].scores[n + i]; },
              [&](int t) -> FragmentA& { return a[t]; }, b[i]);
        }
      }
    }
  }

  // Value i of fragment n: query lane/4 (+ 8 from i = 2 on), key n * 8 + lane%4 * 2 (+ 1 if odd).
  HFWA_DEVICE static int Query(int t, int i) { return t / 32 * 16 + t % 32 / 4 + i / 2 * 8; }
  HFWA_DEVICE static int Column(int t, int n, int i) { return n * 8 + t % 4 * 2 + i % 2; }

  // work(t, i, key, score) for the scores that count.
  template <typename Work>
  HFWA_DEVICE void ForEachScore(PerThread& registers, const Work& work) const {
    block.ForEach([&](int t) {
      HFWA_UNROLL
      for (int n = 0; n < kScoreFragments; ++n) {
        HFWA_UNROLL
        for (int i = 0; i < 4; ++i) {
          if (Column(t, n, i) < task.inside)
            work(t, i, Column(t, n, i), registers[t].scores[n].values[i]);
        }
      }
    });
  }

  // Of the four threads that have columns of one query.
  template <typename Value, typename Combine>
  HFWA_DEVICE void ReduceQuery(const Value& value, const Combine& combine) const {
    for (int mask = 1; mask <= 2; mask *= 2) block.ReduceXor(mask, value, combine);
  }

  // scores = exp(cosine * scale + bias - largest), and their sums.
  HFWA_DEVICE void Weigh(PerThread& registers) const {
    const int64_t bias_window = task.bias_windows == 1 ? 0 : window;
    const float* const bias =
        task.bias + (bias_window * task.heads + head) * task.inside * task.inside;
    block.ForEach([&](int t) {
      registers[t].largest[0] = registers[t].largest[1] = -INFINITY;
      registers[t].sum[0] = registers[t].sum[1] = 0;
    });
    ForEachScore(registers, [&](int t, int i, int key, float& score) {
      const int query = Query(t, i);
      score = score * Factors(0)[query] * Factors(1)[key];
      if (query < task.inside) score += bias[query * task.inside + key];
      registers[t].largest[i / 2] = Larger(registers[t].largest[i / 2], score);
    });
    HFWA_UNROLL
    for (int half = 0; half < 2; ++half) {
      ReduceQuery([&](int t) -> float& { return registers[t].largest[half]; },
                  [](float x, float y) { return Larger(x, y); });
    }
    ForEachScore(registers, [&](int t, int i, int /*key*/, float& score) {
      score = expf(score - registers[t].largest[i / 2]);
      registers[t].sum[i / 2] += score;
    });
    HFWA_UNROLL
    for (int half = 0; half < 2; ++half) {
      ReduceQuery([&](int t) -> float& { return registers[t].sum[half]; },
                  [](float x, float y) { return x + y; });
    }
  }

  HFWA_DEVICE static uint32_t Pair(uint16_t low, uint16_t high) {
    return static_cast<uint32_t>(low) | static_cast<uint32_t>(high) << 16;
  }

  // The weights as left factors, rounded.
  HFWA_DEVICE void Pack(PerThread& registers) const {
    block.ForEach([&](int t) {
      HFWA_UNROLL
      for (int step = 0; step < kScoreFragments / 2; ++step) {
        HFWA_UNROLL
        for (int r = 0; r < 4; ++r) {
          // Registers 0 and 1: keys 0-7 of queries lane/4 and lane/4 + 8; 2 and 3: keys 8-15.
          const float* const pair = registers[t].scores[step * 2 + r / 2].values + r % 2 * 2;
          registers[t].weights[step].values[r] =
              Pair(Store16<kType>(pair[0]), Store16<kType>(pair[1]));
        }
      }
    });
  }

  // out = weights v, columns first_column and on of the head.
  HFWA_DEVICE void Mix(PerThread& registers, int first_column) const {
    block.ForEach([&](int t) {
      HFWA_UNROLL
      for (int n = 0; n < kOutFragments; ++n) registers[t].out[n] = {{0, 0, 0, 0}};
    });
    HFWA_UNROLL
    for (int step = 0; step < kScoreFragments / 2; ++step) {
      if (step * 16 >= task.inside) continue;
      HFWA_UNROLL
      for (int n = 0; n < kOutFragments; n += 2) {
        if (first_column + n * 8 >= task.head_width) continue;
        B b[2];
        // Tokens 0-7 and 8-15 of columns 0-7, the same of columns 8-15.
        block.LoadTransposed(
            [&](int t) {
              const int lane = t % 32, line = step * 16 + lane % 16;
              return Values() + line * kWindowPitch + first_column + n * 8 + lane / 16 * 8;
            },
            [&](int t, int matrix) -> uint32_t& { return b[matrix / 2][t].values[matrix % 2]; });
        HFWA_UNROLL
        for (int i = 0; i < 2; ++i) {
          block.template MultiplyAdd<kType>(
              [&](int t) -> FragmentC& { return registers[t].out[n + i]; },
              [&](int t) -> FragmentA& { return registers[t].weights[step]; }, b[i]);
        }
      }
    }
  }

  HFWA_DEVICE void Write(PerThread& registers, int first_column) const {
    block.ForEach([&](int t) {
      HFWA_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int query = Query(t, half * 2);
        if (query >= task.inside) continue;
        uint16_t* const out = task.out + Place(query) * width() + head * task.head_width;
        const float factor = 1.0F / registers[t].sum[half];
        HFWA_UNROLL
        for (int n = 0; n < kOutFragments; ++n) {
          if (first_column + n * 8 >= task.head_width) continue;
          const float* const values = registers[t].out[n].values + half * 2;
          *reinterpret_cast<uint32_t*>(out + first_column + Column(t, n, 0)) =
              Pair(Store16<kType>(values[0] * factor), Store16<kType>(values[1] * factor));
        }
      }
    });
  }

  HFWA_DEVICE void Run() const {
    PerThread registers;
    Fetch();
    Measure();
    Score(registers);
    // Keys that are not there weigh nothing: their scores are the products of zeros.
    Weigh(registers);
    Pack(registers);
    for (int column = 0; column < task.head_width; column += kOutFragments * 8) {
      Mix(registers, column);
      Write(registers, column);
    }
  }
};

}  // namespace hfwa::kernels::cuda
