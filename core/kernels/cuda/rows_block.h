#pragma once

// What is done to the rows of activations between matrix products. A row is one warp's: it stays in
// registers from its first reading on. (Reading all of it before anything is written costs more
// registers, and so blocks at a time, than it saves: 75 against 87 us for a branch of 32 images.)

#include "core/kernels/cuda/numbers.h"

namespace hfwa::kernels::cuda {

inline constexpr int kRowThreads = 256;
inline constexpr int kBlockRows = kRowThreads / 32;  // rows of a block

// Moved as one word of 16 or 8 bytes.
struct alignas(16) Float4 {
  float values[4];
};
struct alignas(8) Bits4 {
  uint16_t values[4];
};
HFWA_DEVICE Float4 Load4(const float* from) { return *reinterpret_cast<const Float4*>(from); }
HFWA_DEVICE void Store4(float* to, const Float4& four) { *reinterpret_cast<Float4*>(to) = four; }
HFWA_DEVICE Bits4 Load4(const uint16_t* from) { return *reinterpret_cast<const Bits4*>(from); }
HFWA_DEVICE void Store4(uint16_t* to, const Bits4& four) { *reinterpret_cast<Bits4*>(to) = four; }

template <Type kType>
HFWA_DEVICE Float4 Widened(const Bits4& bits) {
  return {{Load16<kType>(bits.values[0]), Load16<kType>(bits.values[1]),
           Load16<kType>(bits.values[2]), Load16<kType>(bits.values[3])}};
}
template <Type kType>
HFWA_DEVICE Bits4 Rounded(const Float4& x) {
  return {{Store16<kType>(x.values[0]), Store16<kType>(x.values[1]), Store16<kType>(x.values[2]),
           Store16<kType>(x.values[3])}};
}

template <typename T>
HFWA_DEVICE T* RowOf(const Lines<T>& lines, int64_t row) {
  return lines.first + row / lines.group * lines.group_stride +
         row % lines.group * static_cast<int64_t>(lines.pitch);
}

// A thread's part of its warp's row: quads lane, lane + 32, ... of four values.
template <int kQuads>
struct RowPart {
  Float4 quads[kQuads];
};

// The rows group * kBlockRows and on of a block, of up to kQuads * 128 values each.
template <int kQuads, typename Block>
struct RowWarps {
  using Parts = typename Block::template PerThread<RowPart<kQuads>>;
  using Sums = typename Block::template PerThread<float>;

  Block& block;
  const int64_t rows;
  const int width;
  const int64_t group;

  HFWA_DEVICE int64_t row(int t) const { return group * kBlockRows + t / 32; }

  // work(t, row, place of the quad in its row, the thread's quad) for each quad of each row.
  template <typename Work>
  HFWA_DEVICE void ForEachQuad(Parts& parts, const Work& work) const {
    block.ForEach([&](int t) {
      if (row(t) >= rows) return;
      HFWA_UNROLL
      for (int q = 0; q < kQuads; ++q) {
        const int i = (q * 32 + t % 32) * 4;
        if (i < width) work(t, row(t), i, parts[t].quads[q]);
      }
    });
  }

  // Of value(t, quad's place, quad) over each row, in every thread of its warp.
  template <typename Value>
  HFWA_DEVICE void Sum(Parts& parts, Sums& sums, const Value& value) const {
    block.ForEach([&](int t) { sums[t] = 0; });
    ForEachQuad(parts, [&](int t, int64_t, int i, const Float4& x) { sums[t] += value(t, i, x); });
    for (int mask = 16; mask > 0; mask /= 2) {
      block.ReduceXor(
          mask, [&](int t) -> float& { return sums[t]; }, [](float x, float y) { return x + y; });
    }
  }

  // Rows brought to mean 0 and deviation 1, then weighed.
  HFWA_DEVICE void Normalize(Parts& parts, const NormWeights& norm) const {
    Sums mean, factor;
    const auto count = static_cast<float>(width);
    Sum(parts, mean, [](int, int, const Float4& x) {
      return (x.values[0] + x.values[1]) + (x.values[2] + x.values[3]);
    });
    block.ForEach([&](int t) { mean[t] /= count; });
    Sum(parts, factor, [&](int t, int, const Float4& x) {
      float sum = 0;
      HFWA_UNROLL
      for (int j = 0; j < 4; ++j) {
        const float difference = x.values[j] - mean[t];
        sum += difference * difference;
      }
      return sum;
    });
    block.ForEach([&](int t) { factor[t] = 1.0F / sqrtf(factor[t] / count + norm.eps); });
    ForEachQuad(parts, [&](int t, int64_t, int i, Float4& x) {
      const Float4 weight = Load4(norm.weight + i), bias = Load4(norm.bias + i);
      HFWA_UNROLL
      for (int j = 0; j < 4; ++j)
        x.values[j] = (x.values[j] - mean[t]) * factor[t] * weight.values[j] + bias.values[j];
    });
  }
};

HFWA_DEVICE Float4 BiasOf(const float* bias, int i) {
  if (bias == nullptr) return {{0, 0, 0, 0}};
  return Load4(bias + i);
}
HFWA_DEVICE Float4 Plus(const Float4& x, const Float4& y) {
  return {{x.values[0] + y.values[0], x.values[1] + y.values[1], x.values[2] + y.values[2],
           x.values[3] + y.values[3]}};
}

// y = norm(x), where x has taken the branch and its bias first if there is one.
template <Type kType, int kQuads, typename Block>
HFWA_DEVICE void NormBlock(Block& block, const NormTask& task, int64_t group) {
  const RowWarps<kQuads, Block> warps{block, task.rows, task.width, group};
  typename RowWarps<kQuads, Block>::Parts parts;
  warps.ForEachQuad(parts, [&](int, int64_t row, int i, Float4& x) {
    x = Load4(task.x + row * task.width + i);
    if (task.branch == nullptr) return;
    const Float4 y = Widened<kType>(Load4(task.branch + row * task.width + i));
    x = Plus(x, Plus(y, BiasOf(task.branch_bias, i)));
  });
  if (task.branch != nullptr) {
    warps.ForEachQuad(parts, [&](int, int64_t row, int i, const Float4& x) {
      Store4(task.x + row * task.width + i, x);
    });
  }
  warps.Normalize(parts, task.norm);
  warps.ForEachQuad(parts, [&](int, int64_t row, int i, const Float4& x) {
    Store4(task.y + row * task.width + i, Rounded<kType>(x));
  });
}

// sum = x + norm(branch), exactly and rounded.
template <Type kType, int kQuads, typename Block>
HFWA_DEVICE void BranchBlock(Block& block, const BranchTask& task, int64_t group) {
  const RowWarps<kQuads, Block> warps{block, task.rows, task.width, group};
  typename RowWarps<kQuads, Block>::Parts parts;
  warps.ForEachQuad(parts, [&](int, int64_t row, int i, Float4& x) {
    x = Widened<kType>(Load4(task.branch + row * task.width + i));
  });
  warps.Normalize(parts, task.norm);
  warps.ForEachQuad(parts, [&](int, int64_t row, int i, const Float4& normed) {
    const Float4 sum = Plus(Load4(RowOf(task.x, row) + i), normed);
    Store4(task.sum + row * task.width + i, sum);
    Store4(task.rounded + row * task.width + i, Rounded<kType>(sum));
  });
}

HFWA_DEVICE float SquareSum(const Float4& x) {
  return (x.values[0] * x.values[0] + x.values[1] * x.values[1]) +
         (x.values[2] * x.values[2] + x.values[3] * x.values[3]);
}
HFWA_DEVICE float Dot(const Float4& x, const Float4& y) {
  return (x.values[0] * y.values[0] + x.values[1] * y.values[1]) +
         (x.values[2] * y.values[2] + x.values[3] * y.values[3]);
}
HFWA_DEVICE float LengthOf(float square_sum) {
  const float length = sqrtf(square_sum);
  return length < kCosineEpsilon ? kCosineEpsilon : length;
}

// unit = x / |x|.
template <Type kType, int kQuads, typename Block>
HFWA_DEVICE void UnitBlock(Block& block, const UnitTask& task, int64_t group) {
  const RowWarps<kQuads, Block> warps{block, task.rows, task.width, group};
  typename RowWarps<kQuads, Block>::Parts parts;
  typename RowWarps<kQuads, Block>::Sums lengths;
  warps.ForEachQuad(parts, [&](int, int64_t row, int i, Float4& x) {
    x = Widened<kType>(Load4(task.x + row * task.width + i));
  });
  warps.Sum(parts, lengths, [](int, int, const Float4& x) { return SquareSum(x); });
  warps.ForEachQuad(parts, [&](int t, int64_t row, int i, Float4& x) {
    const float length = LengthOf(lengths[t]);
    HFWA_UNROLL
    for (int j = 0; j < 4; ++j) x.values[j] /= length;
    Store4(RowOf(task.unit, row) + i, x);
  });
}

// Cosines of rows of x with their image's pair.
template <Type kType, int kQuads, typename Block>
HFWA_DEVICE void CosineBlock(Block& block, const CosineTask& task, int64_t group) {
  const RowWarps<kQuads, Block> warps{block, task.rows, task.width, group};
  typename RowWarps<kQuads, Block>::Parts parts;
  typename RowWarps<kQuads, Block>::Sums lengths, cosines[2];
  warps.ForEachQuad(parts, [&](int, int64_t row, int i, Float4& x) {
    x = Widened<kType>(Load4(task.x + row * task.width + i));
  });
  warps.Sum(parts, lengths, [](int, int, const Float4& x) { return SquareSum(x); });
  for (int side = 0; side < 2; ++side) {
    warps.Sum(parts, cosines[side], [&](int t, int i, const Float4& x) {
      const int64_t image = warps.row(t) / task.tokens;
      return Dot(x, Load4(task.pairs + (image * 2 + side) * task.width + i));
    });
  }
  block.ForEach([&](int t) {
    const int64_t row = warps.row(t);
    if (t % 32 > 1 || row >= task.rows) return;
    const int side = t % 32;
    const float cosine = side == 0 ? cosines[0][t] : cosines[1][t];
    task.cosines[(row / task.tokens * 2 + side) * task.tokens + row % task.tokens] =
        cosine / LengthOf(lengths[t]);
  });
}

// Rows by blocks, `threads` quads at a time -------------------------------------------------------

// y = function(y + bias).
template <Type kType, Function kFunction>
HFWA_DEVICE void ActivateRow(const BiasTask& task, int64_t row, int thread, int threads) {
  uint16_t* const y = task.y + row * task.width;
  for (int i = thread * 4; i < task.width; i += threads * 4) {
    Float4 x = Plus(Widened<kType>(Load4(y + i)), BiasOf(task.bias, i));
    HFWA_UNROLL
    for (int j = 0; j < 4; ++j) x.values[j] = Activate<kFunction>(x.values[j]);
    Store4(y + i, Rounded<kType>(x));
  }
}

// sum += y + bias.
template <Type kType>
HFWA_DEVICE void ResidualRow(const BiasTask& task, int64_t row, int thread, int threads) {
  const uint16_t* const y = task.y + row * task.width;
  float* const sum = task.sum + row * task.width;
  for (int i = thread * 4; i < task.width; i += threads * 4) {
    const Float4 added = Plus(Widened<kType>(Load4(y + i)), BiasOf(task.bias, i));
    Store4(sum + i, Plus(Load4(sum + i), added));
  }
}

// rounded = x.
template <Type kType>
HFWA_DEVICE void RoundRow(const RoundTask& task, int64_t row, int thread, int threads) {
  const float* const x = RowOf(task.x, row);
  for (int i = thread * 4; i < task.width; i += threads * 4)
    Store4(task.rounded + row * task.width + i, Rounded<kType>(Load4(x + i)));
}

}  // namespace hfwa::kernels::cuda
