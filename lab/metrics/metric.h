#pragma once

#include <string>
#include <utility>

namespace hfwa::lab {

// A number, or why there is none.
struct Metric {
  double value = 0;       // 0 where undefined, as the paper's program has it
  std::string undefined;  // why; empty where defined

  bool defined() const { return undefined.empty(); }
  static Metric Undefined(std::string why) { return {.value = 0, .undefined = std::move(why)}; }
};

}  // namespace hfwa::lab
