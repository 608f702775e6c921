#include "core/kernels/cuda/cuda_epilogue.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "core/kernels/cuda/numbers.h"
#include "core/kernels/gaussian.h"

namespace hfwa::kernels {
namespace {

using cuda::Api;
using cuda::ConstBits;
using cuda::Launcher;

at::Tensor Maxima(const Launcher& launcher, const std::vector<RowMatch>& matches);

class CudaRows final : public Rows {
 public:
  CudaRows(cuda::RowPool::Rows rows, const Launcher& launcher)
      : launcher_(launcher), rows_(std::move(rows)) {}

  void Put(int64_t first, const at::Tensor& rows) override {
    rows_.values.narrow(0, first, rows.size(0)).copy_(rows);
  }
  at::Tensor Get(int64_t first, int64_t count) const override {
    return rows_.values.narrow(0, first, count).to(at::kFloat);
  }
  at::Tensor Maximum(const at::Tensor& tokens, int64_t first, int64_t count) const override {
    return Maxima(launcher_, {{tokens, this, first, count}});
  }
  int64_t bytes() const override { return static_cast<int64_t>(rows_.values.nbytes()); }

  const at::Tensor& values() const { return rows_.values; }

 private:
  const Launcher& launcher_;
  const cuda::RowPool::Rows rows_;
};

// Of rows that the module does not take.
at::Tensor MaximaOneByOne(const std::vector<RowMatch>& matches) {
  std::vector<at::Tensor> maxima;
  maxima.reserve(matches.size());
  for (const RowMatch& match : matches)
    maxima.push_back(match.rows->Maximum(match.tokens.to(at::kFloat), match.first, match.count));
  return at::cat(maxima);
}

at::Tensor Maxima(const Launcher& launcher, const std::vector<RowMatch>& matches) {
  std::vector<at::Tensor> tokens;  // alive until the launch is queued
  int64_t total = 0;
  for (const RowMatch& match : matches) {
    if (dynamic_cast<const CudaRows*>(match.rows) == nullptr) return MaximaOneByOne(matches);
    tokens.push_back(match.tokens.to(at::kHalf).contiguous());
    total += match.tokens.size(0);
  }
  at::Tensor maxima = at::empty({total}, at::device(launcher.device()).dtype(at::kFloat));
  std::vector<cuda::MatchTask> tasks;
  float* maximum = maxima.data_ptr<float>();
  for (size_t i = 0; i < matches.size(); ++i) {
    const at::Tensor& rows = dynamic_cast<const CudaRows&>(*matches[i].rows).values();
    TORCH_CHECK(rows.size(1) == tokens[i].size(1), "tokens and rows differ in width");
    tasks.push_back({.tokens = ConstBits(tokens[i]),
                     .rows = ConstBits(rows) + matches[i].first * rows.size(1),
                     .maximum = maximum,
                     .token_count = static_cast<int32_t>(tokens[i].size(0)),
                     .row_count = static_cast<int32_t>(matches[i].count)});
    maximum += tokens[i].size(0);
  }
  launcher.Run([&](const Api& api, cuda::Type, void* stream) {
    const auto width = static_cast<int>(tokens.front().size(1));
    return api.match(tasks.data(), static_cast<int>(tasks.size()), width, stream);
  });
  return maxima;
}

// The filter's weights; without a filter, a map is its own.
std::vector<double> WeightsOf(const MapSpec& spec) {
  return spec.sigma.has_value() ? GaussianWeights(*spec.sigma) : std::vector<double>{1.0};
}

class CudaEpilogue final : public Epilogue {
 public:
  explicit CudaEpilogue(const Launcher& launcher) : launcher_(launcher) {}

  at::Tensor Maxima(const std::vector<RowMatch>& matches) const override {
    return kernels::Maxima(launcher_, matches);
  }

  bool Takes(const MapSpec& spec) const override {
    // Of shared memory a block has 48 KB without asking.
    return WeightsOf(spec).size() <= cuda::MapTask::kRadiusMax + 1 && spec.size <= kSizeMax;
  }

  CombinedMaps Combine(const MapSpec& spec, const at::Tensor& language_diff,
                       const at::Tensor& few) const override {
    const at::Tensor diff = language_diff.defined() ? language_diff.contiguous() : at::Tensor();
    const at::Tensor visual = few.defined() ? few.contiguous() : at::Tensor();
    const at::Tensor& some = diff.defined() ? diff : visual;
    const int64_t batch = some.size(0), size = spec.size;
    CombinedMaps maps{.map = at::empty({batch, size, size}, some.options()),
                      .keys = at::empty({batch}, some.options().dtype(at::kInt))};
    const at::Tensor between = at::empty_like(maps.map);
    const std::vector<double> weights = WeightsOf(spec);
    cuda::MapTask task{.language_diff = diff.defined() ? diff.const_data_ptr<float>() : nullptr,
                       .few = visual.defined() ? visual.const_data_ptr<float>() : nullptr,
                       .between = between.data_ptr<float>(),
                       .map = maps.map.data_ptr<float>(),
                       .maximum = static_cast<uint32_t*>(maps.keys.mutable_data_ptr()),
                       .batch = static_cast<int32_t>(batch),
                       .levels = static_cast<int32_t>(some.size(1)),
                       .grid = static_cast<int32_t>(some.size(2)),
                       .size = spec.size,
                       .radius = static_cast<int32_t>(weights.size()) - 1,
                       .weights = {}};
    std::copy(weights.begin(), weights.end(), std::begin(task.weights));
    launcher_.Run(
        [&](const Api& api, cuda::Type, void* stream) { return api.combine_maps(&task, stream); });
    return maps;
  }

  at::Tensor Colour(const at::Tensor& maps, const std::vector<float>& low,
                    const std::vector<float>& high, const at::Tensor& colours) const override {
    const int64_t batch = maps.size(0);
    std::vector<float> ranges = low;  // then the scales
    for (size_t b = 0; b < low.size(); ++b)
      ranges.push_back(high[b] > low[b] ? 255.0F / (high[b] - low[b]) : 0.0F);
    const at::Tensor values = maps.contiguous();
    const at::Tensor range = at::tensor(ranges).to(launcher_.device());
    const at::Tensor table = colours.to(launcher_.device()).contiguous();
    at::Tensor rgb =
        at::empty({batch, maps.size(1), maps.size(2), 3}, values.options().dtype(at::kByte));
    const cuda::ColourTask task{.map = values.const_data_ptr<float>(),
                                .low = range.const_data_ptr<float>(),
                                .scale = range.const_data_ptr<float>() + batch,
                                .colours = table.const_data_ptr<uint8_t>(),
                                .rgb = rgb.data_ptr<uint8_t>(),
                                .batch = static_cast<int32_t>(batch),
                                .pixels = static_cast<int32_t>(maps.size(1) * maps.size(2))};
    launcher_.Run(
        [&](const Api& api, cuda::Type, void* stream) { return api.colour(&task, stream); });
    return rgb;
  }

 private:
  static constexpr int kSizeMax = 2048;

  const Launcher& launcher_;
};

}  // namespace

std::unique_ptr<Rows> MakeCudaRows(cuda::RowPool::Rows rows, const Launcher& launcher) {
  return std::make_unique<CudaRows>(std::move(rows), launcher);
}

std::unique_ptr<Epilogue> MakeCudaEpilogue(const Launcher& launcher) {
  return std::make_unique<CudaEpilogue>(launcher);
}

std::vector<float> MaximaOf(const CombinedMaps& maps) {
  const at::Tensor keys = maps.keys.cpu();
  const auto* key = static_cast<const uint32_t*>(keys.const_data_ptr());
  std::vector<float> maxima;
  for (int64_t b = 0; b < keys.numel(); ++b) maxima.push_back(cuda::FromKey(key[b]));
  return maxima;
}

}  // namespace hfwa::kernels
