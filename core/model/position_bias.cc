#include "core/model/position_bias.h"

#include <cmath>

#include <ATen/ATen.h>

namespace hfwa::model {

at::Tensor OffsetCoordinates(int window) {
  const int side = 2 * window - 1;
  at::Tensor coordinates = at::empty({side, side, 2}, at::kFloat);
  auto values = coordinates.accessor<float, 3>();
  const auto coordinate = [window](int offset) {
    const double size = std::log2(8.0 * std::abs(offset) / (window - 1) + 1.0) / 3.0;
    return static_cast<float>(offset < 0 ? -size : size);
  };
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      values[y][x][0] = coordinate(y - (window - 1));
      values[y][x][1] = coordinate(x - (window - 1));
    }
  }
  return coordinates;
}

at::Tensor OffsetIndex(int window) {
  const int tokens = window * window;
  at::Tensor index = at::empty({tokens, tokens}, at::kLong);
  auto values = index.accessor<int64_t, 2>();
  for (int i = 0; i < tokens; ++i) {
    for (int j = 0; j < tokens; ++j) {
      const int dy = i / window - j / window, dx = i % window - j % window;
      values[i][j] = static_cast<int64_t>(dy + window - 1) * (2 * window - 1) + dx + window - 1;
    }
  }
  return index;
}

at::Tensor PositionBias(int window, const PositionNet& net) {
  const int64_t tokens = static_cast<int64_t>(window) * window;
  const at::Device device = net.second.device();
  const at::Tensor coordinates = OffsetCoordinates(window).view({-1, 2}).to(device);
  const at::Tensor hidden = at::relu(at::linear(coordinates, net.first.weight, net.first.bias));
  const at::Tensor table = at::linear(hidden, net.second);  // [(2w-1)², heads]
  const at::Tensor picked = table.index_select(0, OffsetIndex(window).view({-1}).to(device));
  // Not in place: training differentiates through it.
  return at::sigmoid(picked.t().reshape({-1, tokens, tokens})) * 16.0F;
}

}  // namespace hfwa::model
