#include "core/bank/product_levels.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

namespace hfwa::bank {
namespace {

static_assert(std::tuple_size_v<model::ProductLevels::Profile> == kWindows.size());

constexpr double kUpperQuantile = 0.99;
constexpr float kDistanceMin = 1e-4F;

float Spread(const at::Tensor& distances) {
  const at::Tensor flat = distances.flatten();
  return std::max(kSpreadMin,
                  at::quantile(flat, kUpperQuantile).item<float>() - flat.median().item<float>());
}

// Of the distances of each patch to the nearest of those allowed.
float MedianDistance(const at::Tensor& cosines, const at::Tensor& allowed) {
  const at::Tensor nearest = std::get<0>(cosines.masked_fill(allowed.logical_not(), -1).max(1));
  return std::max(kDistanceMin, (1 - nearest).median().item<float>());
}

// 1 for a texture, 0 for an object.
double TextureShare(const model::ProductLevels& levels,
                    absl::Span<const ReferenceLevels> references) {
  double mean = 0;
  for (const ReferenceLevels& reference : references)
    mean += reference.halves_ratio / static_cast<double>(references.size());
  return std::clamp((levels.object_from - mean) / (levels.object_from - levels.texture_to), 0.0,
                    1.0);
}

}  // namespace

double HalvesRatio(const at::Tensor& tokens) {
  const int64_t length = tokens.size(1);
  const auto grid = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(length))));
  const int64_t reach = std::min<int64_t>(Bank::kSelfRadius, std::max<int64_t>(0, grid / 2 - 2));
  const at::Tensor index = at::arange(length, tokens.options().dtype(at::kLong));
  const at::Tensor row = index.div(grid, "floor"), column = index.remainder(grid);
  const auto apart = [](const at::Tensor& place) {
    return (place.unsqueeze(1) - place.unsqueeze(0)).abs();
  };
  const at::Tensor far = at::maximum(apart(row), apart(column)) > reach;
  const int64_t levels = std::max<int64_t>(1, tokens.size(0) / 2);
  double sum = 0;
  for (int64_t level = 0; level < levels; ++level) {
    const at::Tensor cosines = at::matmul(tokens[level], tokens[level].t());
    double ratio = 0;
    for (const at::Tensor& place : {row, column}) {
      const at::Tensor first = place < grid / 2;
      const at::Tensor same = first.unsqueeze(1) == first.unsqueeze(0);
      const float other = MedianDistance(cosines, far.logical_and(same.logical_not()));
      ratio = std::max<double>(ratio, other / MedianDistance(cosines, far.logical_and(same)));
    }
    sum += ratio;
  }
  return sum / static_cast<double>(levels);
}

std::shared_ptr<const Bank> WeighForProduct(const model::ModelConfig& config,
                                            std::shared_ptr<const Bank> bank,
                                            absl::Span<const ReferenceLevels> references) {
  if (!config.product_levels.has_value()) return bank;
  const model::ProductLevels& levels = *config.product_levels;
  const double texture = TextureShare(levels, references);
  std::vector<at::Tensor> few;
  few.reserve(references.size());
  for (const ReferenceLevels& reference : references) few.push_back(reference.few.cpu());
  const at::Tensor all = at::stack(few);
  std::vector<float> weights;
  for (size_t window = 0; window < kWindows.size(); ++window) {
    for (int64_t level = 0; level < all.size(1); ++level) {
      const auto place = static_cast<size_t>(level);
      const double wanted =
          texture * levels.texture[window][place] + (1 - texture) * levels.object[window][place];
      // Nothing wanted: no reason to look.
      const float spread =
          wanted == 0 ? 1 : Spread(WindowMeans(all.select(1, level), kWindows[window]));
      weights.push_back(static_cast<float>(wanted) / spread);
    }
  }
  auto weighed = bank->WithLevelWeights(std::move(weights));
  for (const ReferenceLevels& reference : references) weighed->Weigh(reference.few);
  return weighed;
}

}  // namespace hfwa::bank
