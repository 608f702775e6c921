#pragma once

// What was measured, before anything is averaged.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lab/data/data_set.h"
#include "lab/metrics/metric.h"
#include "lab/metrics/sweep.h"

namespace hfwa::lab {

// Image metrics of one way of scoring.
struct ImageMetrics {
  std::string scoring;
  Ranking ranking;
  // At the scoring's own threshold; undefined where it has none.
  Metric good_called_anomalous;
  Metric defects_called_anomalous;
  std::string note;
};

// Pixel metrics; of the two protocols only AUPRO differs.
struct PixelResult {
  Ranking ranking;    // its AUPRO is exact: "anomalib"
  Metric aupro_sowa;  // as the paper's program has it
  uint64_t images = 0;
  uint64_t pixels = 0;
};

// Some of a class's test images: all, or all good ones with the defects of one size; or all by one
// level's map.
struct Subset {
  std::string name;  // "all", "size <0.5%", "kind crack", "level H1"
  int good = 0;
  int defects = 0;
  std::vector<ImageMetrics> images;
  PixelResult pixels;
};

// One judged image, for histograms and pictures.
struct ImageScore {
  size_t item;   // in the class's test items
  double score;  // by the method's first scoring
  bool anomalous;
};

// In seconds.
struct MethodTime {
  double fit = 0;     // on the references, encoded before
  double encode = 0;  // of an image: the model's forward pass and views, as the method needs them
  double judge = 0;   // of an image, its features at hand
};

// A method on a class with one draw of references.
struct Measurement {
  std::string method;
  std::string class_name;
  int shots = 0;
  int seed = 0;
  std::vector<std::string> references;  // paths in the set
  std::string missing;                  // why nothing was measured; empty: it was
  std::vector<Subset> subsets;          // "all" first
  std::vector<ImageScore> scores;
  MethodTime time{};
  float map_low = 0;  // of all pixels
  float map_high = 0;
};

// For the report: an image with its map.
struct Picture {
  std::string path;
  std::string kind;
  bool anomalous = false;
  double score = 0;
  std::string image_jpeg;    // bytes
  std::string overlay_jpeg;  // the map over the image
  std::string mask_png;      // empty where there is none
};
struct ClassPictures {
  std::string method;
  std::string class_name;
  int shots = 0;
  int seed = 0;
  std::vector<Picture> missed;       // defects with the lowest scores
  std::vector<Picture> false_alarm;  // good ones with the highest
  std::vector<Picture> found;        // defects with the highest
  std::vector<Picture> passed;       // good ones with the lowest
};

struct Subject {
  std::string data, layout;
  std::string model, digest, device, precision;
  std::string sampling;  // of references
  std::vector<int> shots, seeds;
  int images = 0;
  double seconds = 0;
};

// A method that the model lacks something for.
struct UnfitMethod {
  std::string method;
  std::string reason;
};

struct EvaluationResult {
  Subject subject;
  std::vector<std::string> methods;
  std::vector<UnfitMethod> unfit_methods;
  std::vector<std::string> classes;
  std::vector<Measurement> measurements;
  std::vector<ClassPictures> pictures;
  std::vector<Problem> problems;
};

}  // namespace hfwa::lab
