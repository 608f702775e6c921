#pragma once

#include <string>

#include "core/model/hfwa.h"

namespace hfwa::lab {

// Largest absolute difference from the paper's program that a value may have, about ten times what
// rounding was seen to do (fp32) or twice (reduced precision). `name` is a fixture's tensor, with
// or without level. `full` is for models of real size, whose sums are longer. Negative for an
// unknown name.
double Tolerance(const std::string& name, model::Precision precision, bool full);

}  // namespace hfwa::lab
