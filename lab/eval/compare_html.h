#pragma once

#include <string>

#include "lab/eval/compare.h"

namespace hfwa::lab {

// One page, whole by itself: image AUROC and AUPRO by number of references (the paper's Figure 5)
// and the time an image takes (its Figure 9), then all tables.
std::string ToHtml(const Comparison& comparison);

}  // namespace hfwa::lab
