#pragma once

#include "lab/data/data_set.h"

namespace hfwa::lab {

// Leaves out test images whose bytes are those of an image to train with or of an earlier test
// image of their class, and training images that are there twice; each is a problem. Reads only
// files that share their size with another of the class.
void DropDuplicates(DataSet& set);

}  // namespace hfwa::lab
