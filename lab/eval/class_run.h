#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/image/image.h"
#include "core/model/hfwa.h"
#include "lab/data/data_set.h"
#include "lab/eval/evaluation.h"
#include "lab/eval/features.h"
#include "lab/eval/method.h"
#include "lab/eval/problem_log.h"
#include "lab/eval/results.h"

namespace hfwa::lab {

// One class of a set: its images are encoded once, then measured with any method and draw. What it
// is given outlives it.
class ClassRun {
 public:
  // `methods`: those it will measure; they say what is needed of an image.
  ClassRun(const DataSet& set, const ItemClass& of, const model::Hfwa& hfwa,
           const std::vector<std::unique_ptr<Method>>& methods, const EvaluationOptions& options,
           ProblemLog& log);

  // Reads and encodes the test images, and reads their masks.
  absl::Status Load();
  int images() const { return static_cast<int>(tests_.size()); }

  struct Draw {
    int shots;
    int seed;
    std::vector<int> references;  // indices of the class's training items
  };
  absl::StatusOr<Measurement> Measure(const Method& method, const Draw& draw);
  // Images with the highest and lowest scores of a measurement, judged again.
  absl::StatusOr<ClassPictures> DrawPictures(const Method& method, const Draw& draw,
                                             const Measurement& measurement);

 private:
  struct Test {
    size_t item;      // in the class's test items
    size_t features;  // in the store
    bool anomalous;
    bool mask_known;            // else it has no part in pixel metrics
    std::vector<uint8_t> mask;  // 1 where the defect is; empty: nowhere
    double share;               // of the image that is defect
  };

  absl::StatusOr<std::optional<Test>> LoadTest(size_t index);
  absl::Status LoadMaskOf(const Item& item, const image::Image& picture, Test& test);
  absl::StatusOr<size_t> EncodePicture(const Item& item, const image::Image& picture,
                                       bool reference);
  // Of the test images' defects, in their order.
  std::vector<std::string> Kinds() const;
  // Of a test image, in the mean: what the method needs of it.
  double EncodeSeconds(const Method& method) const;
  // Encoded now or before; absent where the image cannot be read.
  absl::StatusOr<std::optional<size_t>> Reference(int index);
  // Notes references and time in `result`, where there is one.
  absl::StatusOr<std::unique_ptr<Detector>> Fit(const Method& method, const Draw& draw,
                                                Measurement* result);
  absl::StatusOr<Picture> DrawPicture(const Detector& detector, const ImageScore& score, float low,
                                      float high) const;

  const DataSet& set_;
  const ItemClass& of_;
  const model::Hfwa& hfwa_;
  const EvaluationOptions& options_;
  ProblemLog& log_;
  const int side_;  // of maps and masks
  bool model_pass_ = false;
  std::vector<const View*> views_;  // each name once
  FeatureStore store_;
  std::vector<Test> tests_;
  std::map<int, std::optional<size_t>> references_;
  bool any_mask_ = false;
  // Of all test images; the model's own pass under no name.
  std::map<std::string, double> encode_seconds_;
};

}  // namespace hfwa::lab
