#include "core/model/maps.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "core/kernels/gaussian.h"
#include "core/kernels/kernels.h"

namespace hfwa::model {
namespace {

// On the CPU one image at a time: LibTorch's vector loops round the last elements of a tensor
// otherwise than the rest, so an image's bits would depend on its place in the batch.
at::Tensor ForEachImage(const at::Tensor& batch,
                        const std::function<at::Tensor(const at::Tensor&)>& function) {
  if (!batch.is_cpu() || batch.size(0) <= 1) return function(batch);
  std::vector<at::Tensor> results;
  for (int64_t b = 0; b < batch.size(0); ++b)
    results.push_back(function(batch.narrow(0, b, 1).clone()));
  return at::cat(results);
}

// Index of the sample that stands at `i` outside 0..n-1: d c b a | a b c d | d c b a, repeated.
int64_t Reflect(int64_t i, int64_t n) {
  const int64_t period = 2 * n;
  const int64_t in_period = ((i % period) + period) % period;
  return in_period < n ? in_period : period - 1 - in_period;
}

class Gaussian {
 public:
  explicit Gaussian(double sigma)
      : weights_(kernels::GaussianWeights(sigma)),
        radius_(static_cast<int64_t>(weights_.size()) - 1) {}

  void Filter(const float* in, float* out, int64_t height, int64_t width) const {
    std::vector<float> between(static_cast<size_t>(height * width));
    at::parallel_for(0, height, 16, [&](int64_t begin, int64_t end) {
      std::vector<double> sums(static_cast<size_t>(width));
      for (int64_t y = begin; y < end; ++y) Column(in, y, height, width, sums, &between[y * width]);
    });
    at::parallel_for(0, height, 16, [&](int64_t begin, int64_t end) {
      std::vector<double> padded(static_cast<size_t>(width + 2 * radius_)),
          sums(static_cast<size_t>(width));
      for (int64_t y = begin; y < end; ++y)
        Row(&between[y * width], width, padded, sums, out + y * width);
    });
  }

 private:
  // Row y of the vertical pass; every loop runs along a row so that it vectorises.
  void Column(const float* in, int64_t y, int64_t height, int64_t width, std::vector<double>& sums,
              float* out) const {
    for (int64_t x = 0; x < width; ++x) sums[x] = weights_[0] * in[y * width + x];
    for (int64_t k = 1; k <= radius_; ++k) {
      const float* above = in + Reflect(y - k, height) * width;
      const float* below = in + Reflect(y + k, height) * width;
      const double weight = weights_[k];
      for (int64_t x = 0; x < width; ++x) {
        sums[x] += weight * (static_cast<double>(above[x]) + static_cast<double>(below[x]));
      }
    }
    for (int64_t x = 0; x < width; ++x) out[x] = static_cast<float>(sums[x]);
  }

  void Row(const float* in, int64_t width, std::vector<double>& padded, std::vector<double>& sums,
           float* out) const {
    for (int64_t x = -radius_; x < width + radius_; ++x)
      padded[x + radius_] = in[Reflect(x, width)];
    const double* center = padded.data() + radius_;
    for (int64_t x = 0; x < width; ++x) sums[x] = weights_[0] * center[x];
    for (int64_t k = 1; k <= radius_; ++k) {
      const double weight = weights_[k];
      for (int64_t x = 0; x < width; ++x) sums[x] += weight * (center[x - k] + center[x + k]);
    }
    for (int64_t x = 0; x < width; ++x) out[x] = static_cast<float>(sums[x]);
  }

  const std::vector<double> weights_;  // of offsets 0..radius
  const int64_t radius_;
};

// Tokens of one image, [n, L, E] -> [n, g, g].
at::Tensor MatchImage(const at::Tensor& tokens, const PackedBank& bank, int64_t first,
                      int64_t count) {
  const auto grid =
      static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(tokens.size(1)))));
  std::vector<at::Tensor> levels;
  for (size_t level = 0; level < bank.levels.size(); ++level) {
    const at::Tensor own = tokens[static_cast<int64_t>(level)].clone();
    levels.push_back(
        at::rsub(bank.levels[level]->Maximum(own, first, count), 1).view({grid, grid}));
  }
  return at::stack(levels);
}

}  // namespace

at::Tensor UpsampleMaps(const at::Tensor& grid, int size) {
  const auto shape = grid.sizes();
  std::vector<int64_t> result_shape(shape.begin(), shape.end() - 2);
  result_shape.insert(result_shape.end(), {size, size});
  const at::Tensor flat = grid.reshape({-1, 1, shape[shape.size() - 2], shape.back()});
  return ForEachImage(flat,
                      [size](const at::Tensor& map) {
                        return at::upsample_bilinear2d(map, {size, size}, /*align_corners=*/true);
                      })
      .view(result_shape);
}

at::Tensor LanguageMaps(const at::Tensor& language_diff, int size) {
  return ForEachImage(language_diff, [size](const at::Tensor& diff) {
    return at::sigmoid(UpsampleMaps(diff, size));
  });
}

at::Tensor GaussianFilter(const at::Tensor& maps, double sigma) {
  const at::Tensor in = maps.to(at::kCPU, at::kFloat).contiguous();
  at::Tensor out = at::empty_like(in);
  const int64_t height = in.size(-2), width = in.size(-1), pixels = height * width;
  const Gaussian gaussian(sigma);
  for (int64_t i = 0; pixels > 0 && i < in.numel() / pixels; ++i) {
    gaussian.Filter(in.const_data_ptr<float>() + i * pixels, out.data_ptr<float>() + i * pixels,
                    height, width);
  }
  return out.to(maps.device());
}

at::Tensor ZeroShotMap(const ModelConfig& config, const at::Tensor& language_diff) {
  const at::Tensor sum = ForEachImage(language_diff, [&](const at::Tensor& diff) {
    return LanguageMaps(diff, config.map_size).sum(1);
  });
  return config.filter_sigma.has_value() ? GaussianFilter(sum, *config.filter_sigma) : sum;
}

PackedBank PackedBank::Make(const kernels::Kernels& kernels, int64_t levels, int64_t rows,
                            int64_t width) {
  PackedBank bank;
  bank.rows = rows;
  for (int64_t level = 0; level < levels; ++level)
    bank.levels.push_back(kernels.MakeRows(rows, width));
  return bank;
}

PackedBank PackedBank::Pack(const kernels::Kernels& kernels, const at::Tensor& bank) {
  PackedBank packed = Make(kernels, bank.size(0), bank.size(1), bank.size(2));
  for (size_t level = 0; level < packed.levels.size(); ++level)
    packed.levels[level]->Put(0, bank[static_cast<int64_t>(level)]);
  return packed;
}

at::Tensor MatchTokens(const at::Tensor& tokens, const PackedBank& bank, int64_t first,
                       int64_t count) {
  std::vector<at::Tensor> images;
  for (int64_t b = 0; b < tokens.size(0); ++b)
    images.push_back(MatchImage(tokens[b], bank, first, count));
  return at::stack(images);
}

at::Tensor MatchTokens(const at::Tensor& tokens, const PackedBank& bank) {
  return MatchTokens(tokens, bank, 0, bank.rows);
}

at::Tensor FewShotMap(const ModelConfig& config, const at::Tensor& few) {
  return ForEachImage(
      few, [&](const at::Tensor& image) { return UpsampleMaps(image.sum(1), config.map_size); });
}

}  // namespace hfwa::model
