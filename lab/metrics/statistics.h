#pragma once

#include <vector>

namespace hfwa::lab {

// Area under the ROC curve: the share of (good, defect) pairs in which the defect scores higher,
// ties half (training spec 7.1). NaN when either is empty.
double Auroc(const std::vector<double>& good, const std::vector<double>& defect);

double Mean(const std::vector<double>& values);
// Of the population, not of a sample.
double Deviation(const std::vector<double>& values);

}  // namespace hfwa::lab
