#pragma once

#include <chrono>

namespace hfwa::lab {

// Of a clock that only moves forward.
inline double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace hfwa::lab
