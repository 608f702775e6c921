#pragma once

// One block's part of the maps: a launch for upsampling, sigmoid, sum and the Gaussian's vertical
// pass, another for its horizontal pass, the visual part and the maximum. The numbers are those of
// core/model/maps.h up to the order of the sums over levels and the last bit of the sigmoid.

#include "core/kernels/cuda/numbers.h"

namespace hfwa::kernels::cuda {

inline constexpr int kMapThreads = 256;
inline constexpr int kTile = 32;     // pixels a side that a block of the vertical pass makes
inline constexpr int kBandRows = 4;  // rows that a block of the horizontal pass makes

HFWA_DEVICE int VerticalSharedBytes(const MapTask& task) {
  return (kTile + 2 * task.radius) * kTile * static_cast<int>(sizeof(float));
}
HFWA_DEVICE int HorizontalSharedBytes(const MapTask& task) {
  return kBandRows * (task.size + 2 * task.radius) * static_cast<int>(sizeof(float));
}

// Level maps summed at pixel (y, x) of image `b`.
HFWA_DEVICE float LanguageSum(const MapTask& task, int b, int y, int x) {
  if (task.language_diff == nullptr) return 0;
  const Tap row = TapOf(y, task.grid, task.size), column = TapOf(x, task.grid, task.size);
  const float* level =
      task.language_diff + static_cast<int64_t>(b) * task.levels * task.grid * task.grid;
  float sum = 0;
  for (int l = 0; l < task.levels; ++l, level += task.grid * task.grid) {
    const float* upper = level + row.from * task.grid;
    const float* lower = level + row.to * task.grid;
    sum += Sigmoid(Blend(Blend(upper[column.from], upper[column.to], column.weight),
                         Blend(lower[column.from], lower[column.to], column.weight), row.weight));
  }
  return sum;
}

// The visual levels, summed on the grid, at pixel (y, x).
HFWA_DEVICE float VisualSum(const MapTask& task, int b, int y, int x) {
  const Tap row = TapOf(y, task.grid, task.size), column = TapOf(x, task.grid, task.size);
  const int patches = task.grid * task.grid;
  const float* level = task.few + static_cast<int64_t>(b) * task.levels * patches;
  float corners[4] = {0, 0, 0, 0};
  for (int l = 0; l < task.levels; ++l, level += patches) {
    corners[0] += level[row.from * task.grid + column.from];
    corners[1] += level[row.from * task.grid + column.to];
    corners[2] += level[row.to * task.grid + column.from];
    corners[3] += level[row.to * task.grid + column.to];
  }
  return Blend(Blend(corners[0], corners[1], column.weight),
               Blend(corners[2], corners[3], column.weight), row.weight);
}

// Tile (tile_y, tile_x) of image `b` into task.between. `shared`: VerticalSharedBytes.
template <typename Block>
HFWA_DEVICE void VerticalBlock(Block& block, const MapTask& task, int tile_y, int tile_x, int b,
                               float* shared) {
  const int y0 = tile_y * kTile, x0 = tile_x * kTile, lines = kTile + 2 * task.radius;
  block.ForEach([&](int t) {
    if (tile_y == 0 && tile_x == 0 && t == 0) task.maximum[b] = 0;
    for (int i = t; i < lines * kTile; i += kMapThreads) {
      const int x = x0 + i % kTile, y = Reflect(y0 - task.radius + i / kTile, task.size);
      if (x < task.size) shared[i] = LanguageSum(task, b, y, x);
    }
  });
  block.Sync();
  block.ForEach([&](int t) {
    for (int i = t; i < kTile * kTile; i += kMapThreads) {
      const int y = y0 + i / kTile, x = x0 + i % kTile;
      if (y >= task.size || x >= task.size) continue;
      const float* center = shared + i + task.radius * kTile;
      double sum = task.weights[0] * static_cast<double>(*center);
      for (int k = 1; k <= task.radius; ++k) {
        sum += task.weights[k] *
               (static_cast<double>(center[-k * kTile]) + static_cast<double>(center[k * kTile]));
      }
      task.between[(static_cast<int64_t>(b) * task.size + y) * task.size + x] =
          static_cast<float>(sum);
    }
  });
}

// Rows band * kBandRows and on of image `b` into task.map and task.maximum. `shared`:
// HorizontalSharedBytes.
template <typename Block>
HFWA_DEVICE void HorizontalBlock(Block& block, const MapTask& task, int band, int b,
                                 float* shared) {
  const int y0 = band * kBandRows, pitch = task.size + 2 * task.radius;
  const int64_t image = static_cast<int64_t>(b) * task.size * task.size;
  block.ForEach([&](int t) {
    for (int i = t; i < kBandRows * pitch; i += kMapThreads) {
      const int y = y0 + i / pitch, x = Reflect(i % pitch - task.radius, task.size);
      if (y < task.size) shared[i] = task.between[image + static_cast<int64_t>(y) * task.size + x];
    }
  });
  block.Sync();
  typename Block::template PerThread<float> best;
  block.ForEach([&](int t) {
    best[t] = -INFINITY;
    for (int i = t; i < kBandRows * task.size; i += kMapThreads) {
      const int y = y0 + i / task.size, x = i % task.size;
      if (y >= task.size) continue;
      const float* center = shared + i / task.size * pitch + task.radius + x;
      double sum = task.weights[0] * static_cast<double>(*center);
      for (int k = 1; k <= task.radius; ++k) {
        sum += task.weights[k] * (static_cast<double>(center[-k]) + static_cast<double>(center[k]));
      }
      float value = static_cast<float>(sum);
      if (task.few != nullptr) value += VisualSum(task, b, y, x);
      task.map[image + static_cast<int64_t>(y) * task.size + x] = value;
      best[t] = Larger(best[t], value);
    }
  });
  for (int mask = 1; mask < 32; mask *= 2) {
    block.ReduceXor(
        mask, [&](int t) -> float& { return best[t]; },
        [](float x, float y) { return Larger(x, y); });
  }
  block.ForEach([&](int t) {
    if (t % 32 == 0) block.AtomicMax(task.maximum + b, KeyOf(best[t]));
  });
}

// Four pixels of image `b` from pixel 4 * quad on: 12 bytes, written as words where they are whole.
HFWA_DEVICE void ColourPixels(const ColourTask& task, int64_t quad, int b) {
  const int64_t first = quad * 4, start = static_cast<int64_t>(b) * task.pixels + first;
  const int count = first + 4 <= task.pixels ? 4 : static_cast<int>(task.pixels - first);
  uint8_t bytes[12];
  for (int i = 0; i < count; ++i) {
    const uint8_t* colour =
        task.colours + 3 * Quantize(task.map[start + i], task.low[b], task.scale[b]);
    for (int c = 0; c < 3; ++c) bytes[3 * i + c] = colour[c];
  }
  uint8_t* const out = task.rgb + 3 * start;
  if (count == 4 && start % 4 == 0) {
    uint32_t words[3];
    memcpy(words, bytes, sizeof(words));
    for (int i = 0; i < 3; ++i) reinterpret_cast<uint32_t*>(out)[i] = words[i];
    return;
  }
  for (int i = 0; i < 3 * count; ++i) out[i] = bytes[i];
}

}  // namespace hfwa::kernels::cuda
