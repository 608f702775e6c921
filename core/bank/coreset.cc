#include "core/bank/coreset.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace hfwa::bank {
namespace {

constexpr int64_t kDimensions = 128;
constexpr int64_t kGrain = 4096;  // rows that are worth a thread

// splitmix64 of a counter: fixed signs without a generator's state.
uint64_t Bits(uint64_t counter) {
  uint64_t z = (counter + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

// Rows on their side, [D, R], so that every sum runs over many rows at once and in one order.
at::Tensor Project(const at::Tensor& rows) {
  at::Tensor turned = rows.t().contiguous();
  const int64_t width = turned.size(0), count = turned.size(1);
  if (width <= kDimensions) return turned;
  at::Tensor projected = at::zeros({kDimensions, count}, at::kFloat);
  const float* const in = turned.data_ptr<float>();
  float* const out = projected.data_ptr<float>();
  at::parallel_for(0, kDimensions, 1, [&](int64_t first, int64_t end) {
    for (int64_t d = first; d < end; ++d) {
      float* const sums = out + d * count;
      for (int64_t e = 0; e < width; ++e) {
        const float sign = (Bits(static_cast<uint64_t>(d * width + e)) & 1) != 0 ? 1.0F : -1.0F;
        const float* const values = in + e * count;
        for (int64_t r = 0; r < count; ++r) sums[r] += sign * values[r];
      }
    }
  });
  return projected;
}

// Chooses rows one by one and knows how far each row is from them.
class Choice {
 public:
  explicit Choice(const at::Tensor& points)
      : points_(points),
        dimensions_(points.size(0)),
        count_(points.size(1)),
        norms_(static_cast<size_t>(count_), 0),
        distances_(static_cast<size_t>(count_), std::numeric_limits<float>::max()) {
    for (int64_t d = 0; d < dimensions_; ++d) {
      const float* const values = Dimension(d);
      for (int64_t r = 0; r < count_; ++r) norms_[At(r)] += values[r] * values[r];
    }
  }

  void Take(int64_t row) {
    taken_.push_back(row);
    at::parallel_for(0, count_, kGrain, [&](int64_t first, int64_t end) {
      std::vector<float> products(static_cast<size_t>(end - first), 0);
      for (int64_t d = 0; d < dimensions_; ++d) {
        const float* const values = Dimension(d);
        const float own = values[row];
        for (int64_t r = first; r < end; ++r) products[At(r - first)] += own * values[r];
      }
      for (int64_t r = first; r < end; ++r) {
        const float distance = norms_[At(r)] + norms_[At(row)] - 2 * products[At(r - first)];
        distances_[At(r)] = std::min(distances_[At(r)], distance);
      }
    });
    distances_[At(row)] = -std::numeric_limits<float>::max();  // not again
  }

  // The first of those that are farthest away.
  int64_t Farthest() const {
    return std::max_element(distances_.begin(), distances_.end()) - distances_.begin();
  }
  // Of rows first to end - 1, the nearest to their mean.
  int64_t MostOrdinary(int64_t first, int64_t end) const {
    std::vector<double> products(static_cast<size_t>(end - first), 0);
    for (int64_t d = 0; d < dimensions_; ++d) {
      const float* const values = Dimension(d);
      const double mean =
          std::accumulate(values + first, values + end, 0.0) / static_cast<double>(end - first);
      for (int64_t r = first; r < end; ++r)
        products[At(r - first)] += (values[r] - mean) * (values[r] - mean);
    }
    return first + (std::min_element(products.begin(), products.end()) - products.begin());
  }
  std::vector<int64_t> Taken() && {
    std::sort(taken_.begin(), taken_.end());
    return std::move(taken_);
  }
  size_t size() const { return taken_.size(); }

 private:
  static size_t At(int64_t index) { return static_cast<size_t>(index); }
  const float* Dimension(int64_t d) const { return points_.data_ptr<float>() + d * count_; }

  const at::Tensor points_;
  const int64_t dimensions_;
  const int64_t count_;
  std::vector<float> norms_;
  std::vector<float> distances_;  // squared, to the nearest taken row
  std::vector<int64_t> taken_;
};

}  // namespace

int64_t CoresetSize(int64_t rows, int references, double ratio) {
  const auto wanted = static_cast<int64_t>(std::ceil(ratio * static_cast<double>(rows) - 1e-9));
  return std::clamp<int64_t>(wanted, references, rows);
}

std::vector<int64_t> Coreset(const at::Tensor& rows, int references, double ratio) {
  const int64_t count = rows.size(0);
  const auto size = static_cast<size_t>(CoresetSize(count, references, ratio));
  if (static_cast<int64_t>(size) == count) {
    std::vector<int64_t> all(size);
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  Choice choice(Project(rows));
  const int64_t each = count / references;
  for (int64_t k = 0; k < references; ++k)
    choice.Take(choice.MostOrdinary(k * each, (k + 1) * each));
  while (choice.size() < size) choice.Take(choice.Farthest());
  return std::move(choice).Taken();
}

}  // namespace hfwa::bank
