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

// A folder with meta.json (`train` and `test`, each by class), whose good training images are the
// pool; or the simulated textile set with nominal/, local/ and global/: pool nominal 1-60, good
// nominal 501-600, local and global 1-100. NOT_FOUND if it is neither, INVALID_ARGUMENT if it is
// damaged.
absl::StatusOr<ImageSet> ReadImageSet(const std::string& folder);

}  // namespace hfwa::lab
