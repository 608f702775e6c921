#pragma once

// Which images serve as references (training-and-data spec, section 4.6).

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lab/data/data_set.h"

namespace hfwa::lab {

enum class Sampling {
  kByClass,  // a draw of its own for each class and seed: other classes do not change it, and the
             // first K of a larger draw are the smaller draw
  kPython,   // the paper's program: one generator for all classes in the set's order, one draw a K
};
absl::StatusOr<Sampling> ParseSampling(const std::string& name);  // "class", "python"

// Of each class of the set: indices into `train`, of normal images, `shots` of them or, where there
// are fewer, all.
using Draw = std::vector<std::vector<int>>;
Draw DrawReferences(const DataSet& set, int shots, uint32_t seed, Sampling sampling);

// A list of references: one image of `train` a line, as the set names it; empty lines and lines
// that begin with '#' are passed over. Each class has its own in the list's order. NOT_FOUND if the
// file is not there, INVALID_ARGUMENT with the line that names no normal image to train with.
absl::StatusOr<Draw> ReadReferenceList(const DataSet& set, const std::string& path);

}  // namespace hfwa::lab
