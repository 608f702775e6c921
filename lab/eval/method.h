#pragma once

// Ways to judge an image by its features and those of a few good references. A method is fitted on
// the references of one class and then judges its test images one by one.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/model/hfwa.h"
#include "core/model/weights.h"
#include "lab/eval/features.h"
#include "lab/eval/view.h"

namespace hfwa::lab {

// What one image's score is made of.
struct RawScore {
  float map_max = 0;                   // largest value of the map
  std::optional<float> probability{};  // by language, where the method uses it
  std::optional<float> image{};        // the method's own, where it is none of the above
  // Mean of the largest hundredth of the patches' distances to the references.
  std::optional<float> top_hundredth{};
};

struct Judgement {
  at::Tensor map;  // [size, size] fp32 on the CPU: larger is more anomalous
  RawScore raw;
  // [n, size, size]: what each level says alone. Undefined where it was not asked for or the method
  // has none.
  at::Tensor levels;
};

// One way to score the images of a class from their raw values.
struct Scoring {
  std::string name;            // "paper", "service", ...
  std::vector<double> scores;  // one an image, larger is more anomalous
  // A score of at least this much is called anomalous, where the scoring has an opinion.
  std::optional<double> threshold;
  std::string note;  // what is special about these; empty: nothing
};

// A method fitted on the references of a class. Thread-compatible.
class Detector {
 public:
  virtual ~Detector() = default;
  // LibTorch's exceptions pass through.
  virtual absl::StatusOr<Judgement> Judge(const Features& image, bool with_levels) const = 0;
  // The scores of a class's test images, after the last was judged, by each of the method's ways;
  // the first is the one that the method was published with. Always equally many, in one order.
  virtual std::vector<Scoring> Score(absl::Span<const RawScore> images) const = 0;
};

// The references of a class: all that a method is fitted on.
struct References {
  std::vector<Features> images;
  std::string class_name;
  int seed = 0;  // of the draw, and of whatever the method draws itself
};

class Method {
 public:
  virtual ~Method() = default;
  virtual std::string name() const = 0;
  // What it needs of an image besides the model's forward pass. They live as long as the method.
  virtual std::vector<const View*> views() const { return {}; }
  // False where the views are all it needs.
  virtual bool needs_model_pass() const { return true; }
  // FAILED_PRECONDITION, with the reason, where the method cannot do with so few references.
  virtual absl::StatusOr<std::unique_ptr<Detector>> Fit(const References& references) const = 0;
};

std::vector<std::string> MethodNames();

// What methods are made over.
struct LoadedModel {
  const model::Hfwa& hfwa;         // outlives the method
  const model::ModelFiles& files;  // dropped after the method was made
  std::string directory;           // where they come from
  // Of the references' rows that hfwa's bank keeps, as a product's, (0, 1].
  double coreset_ratio = 1;
};

// The method of that name. INVALID_ARGUMENT lists the names there are; FAILED_PRECONDITION says
// what the model lacks for it.
absl::StatusOr<std::unique_ptr<Method>> MakeMethod(const std::string& name,
                                                   const LoadedModel& model);

}  // namespace hfwa::lab
