#pragma once

// What the methods that match patches have in common. n levels, grid g, L = g * g patches,
// embedding E; fp32 on the CPU. LibTorch's exceptions pass through.

#include <vector>

#include <ATen/core/Tensor.h>

#include "core/model/config.h"
#include "lab/eval/features.h"
#include "lab/eval/method.h"

namespace hfwa::lab {

// Levels side by side: [n, L, E] -> [L, n * E].
at::Tensor SideBySide(const at::Tensor& tokens);

// Each patch's mean with its neighbours, up to eight inside the grid: [n, L, E] -> [n, L, E].
at::Tensor NeighbourMeans(const at::Tensor& tokens);

// Euclidean distances of rows a [A, W] and b [B, W]: [A, B].
at::Tensor Distances(const at::Tensor& a, const at::Tensor& b);

// Scores of the patches [L] as a map [size, size]: upsampled, then the model's Gaussian or, where
// it has none, one of 4 pixels, as these methods were published.
at::Tensor PatchMap(const model::ModelConfig& config, const at::Tensor& scores);

// FAILED_PRECONDITION: these methods learn what is normal from references alone.
absl::Status NeedsReferences(const References& references, const std::string& method);

// A map with the method's own image score.
Judgement JudgementOf(at::Tensor map, float image_score);

// "paper": the method's own image scores.
class OwnScoreDetector : public Detector {
 public:
  std::vector<Scoring> Score(absl::Span<const RawScore> images) const override;
};

}  // namespace hfwa::lab
