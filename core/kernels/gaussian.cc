#include "core/kernels/gaussian.h"

#include <cmath>

namespace hfwa::kernels {

std::vector<double> GaussianWeights(double sigma) {
  constexpr double kTruncate = 4.0;
  // NOLINTNEXTLINE(bugprone-incorrect-roundings)
  const int radius = static_cast<int>(kTruncate * sigma + 0.5);
  std::vector<double> weights;
  weights.reserve(static_cast<size_t>(radius) + 1);
  double sum = 0;
  for (int k = 0; k <= radius; ++k) {
    weights.push_back(std::exp(-0.5 / (sigma * sigma) * static_cast<double>(k * k)));
    sum += k == 0 ? weights.back() : 2 * weights.back();
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

}  // namespace hfwa::kernels
