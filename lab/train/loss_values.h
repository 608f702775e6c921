#pragma once

#include <string>
#include <vector>

namespace hfwa::lab::train {

// A loss and the parts it is made of, of a batch or the mean over batches; what the parts are is
// the learner's.
struct LossValues {
  double total = 0;
  std::vector<double> parts;
};

// "loss 1.2346 (ce 0.1 ...)": `decimals` of the total, 4 of the parts.
std::string ToText(const LossValues& losses, const std::vector<std::string>& names, int decimals);

}  // namespace hfwa::lab::train
