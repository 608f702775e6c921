#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "lab/eval/evaluation.h"
#include "lab/eval/method.h"
#include "lab/eval/results.h"
#include "lab/metrics/pixel_meter.h"

namespace hfwa::lab {

// All that is measured of a class with one detector: over all its images, by size and kind of the
// defect and by level of the model.
class Meters {
 public:
  // Maps have `side` pixels a side. Without `any_mask` there are no pixel metrics. `kinds` of the
  // defects, each once.
  Meters(const EvaluationOptions& options, int side, bool any_mask,
         const std::vector<std::string>& kinds);

  struct Image {
    size_t item;
    bool anomalous;
    bool mask_known;
    absl::Span<const uint8_t> mask;  // empty: no defect
    double share;                    // of the image that is defect
    const std::string& kind;         // of the defect
  };
  // The judgement's map is finite.
  absl::Status Add(const Image& image, const Judgement& judgement);

  // Once: fills in subsets and scores.
  absl::Status Finish(const Detector& detector, Measurement& result);

 private:
  // Images and pixels of one subset.
  struct Part {
    std::string name;
    int level = -1;     // whose map; -1: all levels'
    double above = -1;  // the defects' share of the image: above < share <= up_to
    double up_to = 1;
    std::string kind = {};  // the defects'; of images alone. Empty: any
    std::unique_ptr<PixelMeter> pixels = nullptr;
    std::vector<size_t> members = {};  // among the images
    std::vector<RawScore> raws = {};   // of a level, one an image
  };
  void AddPart(Part part);
  absl::Status AddTo(Part& part, const Image& image, const Judgement& judgement);
  absl::StatusOr<Subset> FinishPart(Part& part, const std::vector<Scoring>& scorings) const;
  ImageMetrics Measure(const Part& part, const Scoring& scoring) const;

  const EvaluationOptions& options_;
  const int side_;
  const bool any_mask_;
  std::vector<Part> parts_;
  std::vector<uint8_t> no_defect_;
  std::vector<size_t> items_;
  std::vector<uint8_t> labels_;
  std::vector<RawScore> raws_;
  float low_ = 0;  // of all maps
  float high_ = 0;
};

}  // namespace hfwa::lab
