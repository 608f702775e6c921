#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace hfwa::lab {

struct TestImage {
  std::string path;
  std::string kind;  // "good" or the kind of defect
};

// Images to draw references from and images to judge.
struct ImageSet {
  std::vector<std::string> pool;
  std::vector<TestImage> tests;
};

// All classes of a set (lab/data/data_set.h) taken as one: the good training images are the pool.
// As ReadDataSet; INVALID_ARGUMENT if an image is not as the set says.
absl::StatusOr<ImageSet> ReadImageSet(const std::string& folder);

}  // namespace hfwa::lab
