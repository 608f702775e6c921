// Maps as pictures.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/image/preprocess.h"
#include "core/image/render.h"

namespace hfwa::image {
namespace {

// Corner-aligned sampling along one axis.
struct Tap {
  int from;
  int to;
  float weight;  // of `to`
};

std::vector<Tap> MakeTaps(int input, int output) {
  std::vector<Tap> taps(static_cast<size_t>(output));
  const float scale =
      output > 1 ? static_cast<float>(input - 1) / static_cast<float>(output - 1) : 0.0F;
  for (int o = 0; o < output; ++o) {
    const float at = scale * static_cast<float>(o);
    const int from = std::min(static_cast<int>(at), input - 1);
    taps[static_cast<size_t>(o)] = {from, std::min(from + 1, input - 1),
                                    at - static_cast<float>(from)};
  }
  return taps;
}

// Resamples row by row, so that no map of a large picture's size is ever held.
class RowSampler {
 public:
  RowSampler(const FloatMap& map, int width, int height)
      : map_(map),
        columns_(MakeTaps(map.width, width)),
        rows_(MakeTaps(map.height, height)),
        blended_(static_cast<size_t>(map.width)) {}

  void Row(int y, float* out) {
    const Tap row = rows_[static_cast<size_t>(y)];
    const size_t width = static_cast<size_t>(map_.width);
    const float* upper = map_.values.data() + static_cast<size_t>(row.from) * width;
    const float* lower = map_.values.data() + static_cast<size_t>(row.to) * width;
    for (size_t x = 0; x < width; ++x) {
      blended_[x] = (1.0F - row.weight) * upper[x] + row.weight * lower[x];
    }
    for (size_t x = 0; x < columns_.size(); ++x) {
      const Tap& column = columns_[x];
      out[x] = (1.0F - column.weight) * blended_[static_cast<size_t>(column.from)] +
               column.weight * blended_[static_cast<size_t>(column.to)];
    }
  }

 private:
  const FloatMap& map_;
  std::vector<Tap> columns_;
  std::vector<Tap> rows_;
  std::vector<float> blended_;
};

// 0..255; NaN counts as `low`, and so does everything where low..high is empty.
class Quantizer {
 public:
  Quantizer(float low, float high) : low_(low), scale_(high > low ? 255.0F / (high - low) : 0.0F) {}

  int operator()(float value) const {
    const float level = (value - low_) * scale_ + 0.5F;
    return level >= 255.0F ? 255 : level > 0.0F ? static_cast<int>(level) : 0;
  }

 private:
  float low_;
  float scale_;
};

using Colours = std::array<std::array<uint8_t, 3>, 256>;

Colours MakeTurbo() {
  std::array<uint8_t, 256> ramp;
  for (size_t i = 0; i < ramp.size(); ++i) ramp[i] = static_cast<uint8_t>(i);
  Colours colours{};
  try {
    cv::Mat bgr;
    cv::applyColorMap(cv::Mat(1, 256, CV_8UC1, ramp.data()), bgr, cv::COLORMAP_TURBO);
    for (int i = 0; i < 256; ++i) {
      const auto& pixel = bgr.at<cv::Vec3b>(0, i);
      colours[static_cast<size_t>(i)] = {pixel[2], pixel[1], pixel[0]};
    }
  } catch (const cv::Exception&) {  // an OpenCV without the map: grey levels
    for (size_t i = 0; i < 256; ++i) colours[i].fill(static_cast<uint8_t>(i));
  }
  return colours;
}

const Colours& Turbo() {
  static const Colours colours = MakeTurbo();
  return colours;
}

}  // namespace

FloatMap ResizeMap(const FloatMap& map, int width, int height) {
  FloatMap out{.width = width, .height = height, .values = {}};
  out.values.resize(static_cast<size_t>(width) * static_cast<size_t>(height));
  RowSampler sampler(map, width, height);
  for (int y = 0; y < height; ++y) {
    sampler.Row(y, out.values.data() + static_cast<size_t>(y) * static_cast<size_t>(width));
  }
  return out;
}

Image ColorMap(const FloatMap& map, float low, float high) {
  Image out{.width = map.width, .height = map.height, .rgb = {}};
  out.rgb.resize(map.values.size() * 3);
  const Quantizer quantize(low, high);
  const Colours& colours = Turbo();
  for (size_t i = 0; i < map.values.size(); ++i) {
    std::memcpy(&out.rgb[3 * i], colours[static_cast<size_t>(quantize(map.values[i]))].data(), 3);
  }
  return out;
}

Image Overlay(const Image& image, const FloatMap& map, float low, float high, float opacity) {
  // For each level of the map: the colour's part of the blend, and the picture's weight, in 1/256.
  const int opacity256 = static_cast<int>(std::lround(std::clamp(opacity, 0.0F, 1.0F) * 256.0F));
  std::array<std::array<int, 4>, 256> blend;
  for (int level = 0; level < 256; ++level) {
    const int weight = opacity256 * level / 255;
    const auto& colour = Turbo()[static_cast<size_t>(level)];
    for (size_t c = 0; c < 3; ++c) blend[static_cast<size_t>(level)][c] = colour[c] * weight + 128;
    blend[static_cast<size_t>(level)][3] = 256 - weight;
  }
  Image out{.width = image.width, .height = image.height, .rgb = {}};
  out.rgb.resize(image.rgb.size());
  const Quantizer quantize(low, high);
  RowSampler sampler(map, image.width, image.height);
  std::vector<float> row(static_cast<size_t>(image.width));
  for (int y = 0; y < image.height; ++y) {
    sampler.Row(y, row.data());
    const size_t start = static_cast<size_t>(y) * row.size() * 3;
    for (size_t x = 0; x < row.size(); ++x) {
      const auto& mix = blend[static_cast<size_t>(quantize(row[x]))];
      for (size_t c = 0; c < 3; ++c) {
        const size_t i = start + 3 * x + c;
        out.rgb[i] = static_cast<uint8_t>((image.rgb[i] * mix[3] + mix[c]) >> 8);
      }
    }
  }
  return out;
}

Image Thumbnail(const Image& image, int side_max) {
  const int longest = std::max(image.width, image.height);
  if (longest <= side_max) return image;
  const auto shrink = [&](int side) {
    return std::max(1,
                    static_cast<int>(std::lround(static_cast<double>(side) * side_max / longest)));
  };
  return Resize(image, shrink(image.width), shrink(image.height), Resampling::kBicubic);
}

}  // namespace hfwa::image
