// Pillow's antialiased resize in 8-bit fixed point (training-and-data spec, section 5.5).
//
// Integer sums do not depend on their order, so the passes are free to run over many lanes and stay
// equal to Pillow byte for byte. The horizontal pass turns blocks of rows on their side, so that a
// lane is a row and every tap is one multiplication over contiguous memory.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

#include "core/image/preprocess.h"

namespace hfwa::image {
namespace {

constexpr int kPrecisionBits = 22;
constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);

// For each output position, the input positions it takes and their weights.
struct Taps {
  struct Range {
    int first;
    int count;
  };
  std::vector<Range> ranges;
  int count_max = 0;
  std::vector<int32_t> weights;  // count_max for each output

  const int32_t* WeightsOf(int output) const {
    return weights.data() + static_cast<size_t>(output) * static_cast<size_t>(count_max);
  }
};

double Filter(Resampling resampling, double x) {
  x = std::abs(x);
  if (resampling == Resampling::kBilinear) return x < 1.0 ? 1.0 - x : 0.0;
  constexpr double a = -0.5;
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

Taps MakeTaps(int input, int output, Resampling resampling) {
  const double scale = static_cast<double>(input) / output;
  const double filter_scale = std::max(scale, 1.0);
  const double support = (resampling == Resampling::kBicubic ? 2.0 : 1.0) * filter_scale;
  const double inverse = 1.0 / filter_scale;
  Taps taps;
  taps.count_max = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.ranges.resize(static_cast<size_t>(output));
  taps.weights.resize(static_cast<size_t>(output) * static_cast<size_t>(taps.count_max));
  std::vector<double> weights(static_cast<size_t>(taps.count_max));
  for (int o = 0; o < output; ++o) {
    const double center = (o + 0.5) * scale;
    // Pillow truncates towards zero, where lround rounds negative halves away from it.
    // NOLINTNEXTLINE(bugprone-incorrect-roundings)
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    // NOLINTNEXTLINE(bugprone-incorrect-roundings)
    const int count = std::min(static_cast<int>(center + support + 0.5), input) - first;
    double sum = 0.0;
    for (int i = 0; i < count; ++i) {
      const double w = Filter(resampling, (i + first - center + 0.5) * inverse);
      weights[static_cast<size_t>(i)] = w;
      sum += w;
    }
    taps.ranges[static_cast<size_t>(o)] = {first, count};
    int32_t* fixed =
        taps.weights.data() + static_cast<size_t>(o) * static_cast<size_t>(taps.count_max);
    for (int i = 0; i < count; ++i) {
      double w = weights[static_cast<size_t>(i)];
      if (sum != 0.0) w /= sum;
      fixed[i] = static_cast<int32_t>(w * (1 << kPrecisionBits) + (w < 0 ? -0.5 : 0.5));
    }
  }
  return taps;
}

[[gnu::always_inline]] inline uint8_t Clip(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

constexpr int kRows = 16;  // of a block in the horizontal pass

// One block: `turned` holds, for each input column, kChannels * kRows bytes. Writes `rows` rows.
template <int kChannels>
[[gnu::always_inline]] inline void HorizontalBlock(const uint8_t* turned, const Taps& taps,
                                                   int rows, uint8_t* out, size_t out_stride) {
  constexpr int kLanes = kChannels * kRows;
  const int outputs = static_cast<int>(taps.ranges.size());
  for (int o = 0; o < outputs; ++o) {
    const auto [first, count] = taps.ranges[static_cast<size_t>(o)];
    const int32_t* weights = taps.WeightsOf(o);
    const uint8_t* in = turned + static_cast<size_t>(first) * kLanes;
    int32_t sums[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) sums[lane] = kHalf;
    for (int i = 0; i < count; ++i, in += kLanes) {
      const int32_t weight = weights[i];
      for (int lane = 0; lane < kLanes; ++lane) sums[lane] += in[lane] * weight;
    }
    uint8_t clipped[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) clipped[lane] = Clip(sums[lane]);
    for (int row = 0; row < rows; ++row) {
      uint8_t* pixel =
          out + static_cast<size_t>(row) * out_stride + static_cast<size_t>(o) * kChannels;
      for (int c = 0; c < kChannels; ++c) pixel[c] = clipped[c * kRows + row];
    }
  }
}

// Rows of an output row's taps to one row of `length` bytes. `sums` holds `length` numbers.
[[gnu::always_inline]] inline void VerticalRow(const uint8_t* in, size_t stride,
                                               const int32_t* weights, int count, size_t length,
                                               int32_t* sums, uint8_t* out) {
  std::fill_n(sums, length, kHalf);
  for (int i = 0; i < count; ++i, in += stride) {
    const int32_t weight = weights[i];
    for (size_t x = 0; x < length; ++x) sums[x] += in[x] * weight;
  }
  for (size_t x = 0; x < length; ++x) out[x] = Clip(sums[x]);
}

// The same code for the baseline instruction set and for AVX2, which multiplies 32-bit lanes; the
// results are equal, they are integers.
void HorizontalBlock1(const uint8_t* turned, const Taps& taps, int rows, uint8_t* out,
                      size_t stride) {
  HorizontalBlock<1>(turned, taps, rows, out, stride);
}
void HorizontalBlock3(const uint8_t* turned, const Taps& taps, int rows, uint8_t* out,
                      size_t stride) {
  HorizontalBlock<3>(turned, taps, rows, out, stride);
}
void VerticalRowPlain(const uint8_t* in, size_t stride, const int32_t* weights, int count,
                      size_t length, int32_t* sums, uint8_t* out) {
  VerticalRow(in, stride, weights, count, length, sums, out);
}

struct Kernels {
  void (*horizontal1)(const uint8_t*, const Taps&, int, uint8_t*, size_t) = HorizontalBlock1;
  void (*horizontal3)(const uint8_t*, const Taps&, int, uint8_t*, size_t) = HorizontalBlock3;
  void (*vertical)(const uint8_t*, size_t, const int32_t*, int, size_t, int32_t*,
                   uint8_t*) = VerticalRowPlain;
};

#if defined(__x86_64__)
[[gnu::target("avx2")]] void HorizontalBlock1Avx2(const uint8_t* turned, const Taps& taps, int rows,
                                                  uint8_t* out, size_t stride) {
  HorizontalBlock<1>(turned, taps, rows, out, stride);
}
[[gnu::target("avx2")]] void HorizontalBlock3Avx2(const uint8_t* turned, const Taps& taps, int rows,
                                                  uint8_t* out, size_t stride) {
  HorizontalBlock<3>(turned, taps, rows, out, stride);
}
[[gnu::target("avx2")]] void VerticalRowAvx2(const uint8_t* in, size_t stride,
                                             const int32_t* weights, int count, size_t length,
                                             int32_t* sums, uint8_t* out) {
  VerticalRow(in, stride, weights, count, length, sums, out);
}

const Kernels& BestKernels() {
  static const Kernels kernels =
      __builtin_cpu_supports("avx2")
          ? Kernels{HorizontalBlock1Avx2, HorizontalBlock3Avx2, VerticalRowAvx2}
          : Kernels{};
  return kernels;
}
#else
const Kernels& BestKernels() {
  static const Kernels kernels;
  return kernels;
}
#endif

// `rows` rows of interleaved pixels to turned[(x * channels + c) * kRows + row].
template <int kChannels>
void TurnBlock(const uint8_t* in, int width, int rows, uint8_t* turned) {
  const size_t stride = static_cast<size_t>(width) * kChannels;
  const uint8_t* row_start[kRows];
  // Rows beyond the picture repeat the last one; their results are not written.
  for (int r = 0; r < kRows; ++r)
    row_start[r] = in + static_cast<size_t>(std::min(r, rows - 1)) * stride;
  for (size_t x = 0; x < stride; ++x) {
    for (int r = 0; r < kRows; ++r) turned[x * kRows + static_cast<size_t>(r)] = row_start[r][x];
  }
}

template <int kChannels>
std::vector<uint8_t> Horizontal(const uint8_t* in, int width, int height, int new_width,
                                Resampling resampling) {
  const Taps taps = MakeTaps(width, new_width, resampling);
  const size_t in_stride = static_cast<size_t>(width) * kChannels;
  const size_t out_stride = static_cast<size_t>(new_width) * kChannels;
  std::vector<uint8_t> out(out_stride * static_cast<size_t>(height));
  std::vector<uint8_t> turned(in_stride * kRows);
  const auto block = kChannels == 3 ? BestKernels().horizontal3 : BestKernels().horizontal1;
  for (int y = 0; y < height; y += kRows) {
    const int rows = std::min(kRows, height - y);
    TurnBlock<kChannels>(in + static_cast<size_t>(y) * in_stride, width, rows, turned.data());
    block(turned.data(), taps, rows, out.data() + static_cast<size_t>(y) * out_stride, out_stride);
  }
  return out;
}

std::vector<uint8_t> Vertical(const uint8_t* in, size_t stride, int height, int new_height,
                              Resampling resampling) {
  const Taps taps = MakeTaps(height, new_height, resampling);
  std::vector<uint8_t> out(stride * static_cast<size_t>(new_height));
  std::vector<int32_t> sums(stride);
  for (int o = 0; o < new_height; ++o) {
    const auto [first, count] = taps.ranges[static_cast<size_t>(o)];
    BestKernels().vertical(in + static_cast<size_t>(first) * stride, stride, taps.WeightsOf(o),
                           count, stride, sums.data(),
                           out.data() + static_cast<size_t>(o) * stride);
  }
  return out;
}

// Horizontal first, each pass rounded to 8 bits, an axis of unchanged size passed over.
template <int kChannels>
std::vector<uint8_t> ResizeChannels(const uint8_t* in, int width, int height, int new_width,
                                    int new_height, Resampling resampling) {
  std::vector<uint8_t> narrowed;
  if (width != new_width) {
    narrowed = Horizontal<kChannels>(in, width, height, new_width, resampling);
    if (height == new_height) return narrowed;
    in = narrowed.data();
  }
  const size_t stride = static_cast<size_t>(new_width) * kChannels;
  if (height == new_height) return {in, in + stride * static_cast<size_t>(height)};
  return Vertical(in, stride, height, new_height, resampling);
}

}  // namespace

Image Resize(const Image& image, int width, int height, Resampling resampling) {
  return {.width = width,
          .height = height,
          .rgb = ResizeChannels<3>(image.rgb.data(), image.width, image.height, width, height,
                                   resampling)};
}

std::vector<uint8_t> ResizeGrey(absl::Span<const uint8_t> pixels, int width, int height,
                                int new_width, int new_height, Resampling resampling) {
  return ResizeChannels<1>(pixels.data(), width, height, new_width, new_height, resampling);
}

}  // namespace hfwa::image
