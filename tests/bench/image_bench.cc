// hfwa_image_bench: from the bytes of a picture to the model's tensor, on one core: JPEG, PNG and
// raw pixels, decoding alone and with all that follows. google-benchmark's flags apply.

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/image/decode.h"
#include "core/image/preprocess.h"
#include "core/image/render.h"

namespace hfwa::image {
namespace {

constexpr int kSide = 336;
constexpr int kQuality = 90;

// A photograph's mixture of edges, gradients and noise, so that codecs have their usual work.
Image Part(int width, int height) {
  Image image{width, height, std::vector<uint8_t>(static_cast<size_t>(width) * height * 3)};
  uint32_t noise = 1;
  for (size_t i = 0; i < image.rgb.size(); ++i) {
    const size_t x = i / 3 % static_cast<size_t>(width), y = i / 3 / static_cast<size_t>(width);
    noise = noise * 1664525U + 1013904223U;
    const double wave = 40 * std::sin(static_cast<double>(x) * 0.05 + static_cast<double>(i % 3)) +
                        ((x / 90 + y / 70) % 2 == 0 ? 30 : -30);
    image.rgb[i] = static_cast<uint8_t>(128 + wave + static_cast<double>(noise >> 29));
  }
  return image;
}

enum class Kind { kJpeg, kPng, kRaw };

void Decoding(benchmark::State& state, Kind kind, bool to_tensor) {
  const int width = static_cast<int>(state.range(0)), height = width * 3 / 4;
  const Image part = Part(width, height);
  std::string bytes;
  if (kind == Kind::kJpeg) {
    bytes = EncodeJpeg(part, kQuality).value();
  } else if (kind == Kind::kPng) {
    bytes = EncodePng(part).value();
  } else {
    bytes.assign(part.rgb.begin(), part.rgb.end());
  }
  const RawPixels raw{
      .width = width, .height = height, .stride = 0, .format = PixelFormat::kRgb8, .data = bytes};
  std::vector<float> tensor(static_cast<size_t>(3) * kSide * kSide);
  DecodeOptions options;
  options.limits.bytes_max = 64u << 20;
  while (state.KeepRunning()) {
    const auto picture = kind == Kind::kRaw ? FromRaw(raw, options) : Decode(bytes, options);
    if (!picture.ok()) std::abort();
    if (to_tensor) {
      ToTensor(Resize(*picture, kSide, kSide, Resampling::kBicubic),
               {.mean = {0.48F, 0.46F, 0.41F}, .std = {0.27F, 0.26F, 0.28F}},
               absl::MakeSpan(tensor));
    }
    benchmark::DoNotOptimize(picture->rgb.data());
    benchmark::DoNotOptimize(tensor.data());
  }
  const double pixels = static_cast<double>(width) * height;
  state.counters["Mpixel/s"] =
      benchmark::Counter(pixels * 1e-6, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["bytes"] = static_cast<double>(bytes.size());
  state.SetItemsProcessed(state.iterations());
}

void Sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgName("width")->Arg(640)->Arg(2048)->Arg(4096)->Unit(benchmark::kMillisecond);
}
BENCHMARK_CAPTURE(Decoding, jpeg, Kind::kJpeg, false)->Apply(Sizes);
BENCHMARK_CAPTURE(Decoding, png, Kind::kPng, false)->Apply(Sizes);
BENCHMARK_CAPTURE(Decoding, raw, Kind::kRaw, false)->Apply(Sizes);
BENCHMARK_CAPTURE(Decoding, jpeg_to_tensor, Kind::kJpeg, true)->Apply(Sizes);
BENCHMARK_CAPTURE(Decoding, png_to_tensor, Kind::kPng, true)->Apply(Sizes);
BENCHMARK_CAPTURE(Decoding, raw_to_tensor, Kind::kRaw, true)->Apply(Sizes);

}  // namespace
}  // namespace hfwa::image

BENCHMARK_MAIN();
