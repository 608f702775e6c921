#pragma once

#include <vector>

namespace hfwa::kernels {

// The anomaly map's filter as SciPy's gaussian_filter has it (HFWA spec 7): weights of offsets 0 to
// radius = int(4 sigma + 0.5), those of both sides summing to 1. sigma > 0.
std::vector<double> GaussianWeights(double sigma);

}  // namespace hfwa::kernels
