#include "lab/eval/patch_features.h"

#include <cmath>
#include <utility>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/model/maps.h"

namespace hfwa::lab {
namespace {

constexpr double kSigma = 4;  // pixels of the map

int64_t GridOf(int64_t patches) { return std::lround(std::sqrt(static_cast<double>(patches))); }

}  // namespace

at::Tensor SideBySide(const at::Tensor& tokens) {
  return tokens.transpose(0, 1).flatten(1).contiguous();
}

at::Tensor NeighbourMeans(const at::Tensor& tokens) {
  const int64_t grid = GridOf(tokens.size(1));
  const at::Tensor planes =
      tokens.transpose(1, 2).reshape({tokens.size(0), tokens.size(2), grid, grid});
  const at::Tensor means = at::avg_pool2d(planes, {3, 3}, {1, 1}, {1, 1}, /*ceil_mode=*/false,
                                          /*count_include_pad=*/false);
  return means.flatten(2).transpose(1, 2).contiguous();
}

at::Tensor Distances(const at::Tensor& a, const at::Tensor& b) {
  return at::cdist(a.to(at::kDouble), b.to(at::kDouble)).to(at::kFloat);
}

at::Tensor PatchMap(const model::ModelConfig& config, const at::Tensor& scores) {
  const int64_t grid = GridOf(scores.numel());
  const at::Tensor map = model::UpsampleMaps(scores.reshape({1, grid, grid}), config.map_size);
  return model::GaussianFilter(map, config.filter_sigma.value_or(kSigma))[0];
}

absl::Status NeedsReferences(const References& references, const std::string& method) {
  if (!references.images.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(method, " learns what is normal from references: without any it cannot judge"));
}

Judgement JudgementOf(at::Tensor map, float image_score) {
  Judgement judgement;
  judgement.raw = {
      .map_max = map.max().item<float>(), .probability = std::nullopt, .image = image_score};
  judgement.map = std::move(map);
  return judgement;
}

std::vector<Scoring> OwnScoreDetector::Score(absl::Span<const RawScore> images) const {
  Scoring paper = {.name = "paper", .scores = {}, .threshold = std::nullopt, .note = ""};
  for (const RawScore& raw : images) paper.scores.push_back(raw.image.value_or(raw.map_max));
  return {std::move(paper)};
}

}  // namespace hfwa::lab
