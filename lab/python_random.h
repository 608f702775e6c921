#pragma once

// Python's random.Random, as far as the published protocols draw with it, number for number.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace hfwa::lab {

class PythonRandom {
 public:
  // random.Random(seed) for an int of at most 32 bits.
  explicit PythonRandom(uint32_t seed);

  // random.sample(range(size), count): distinct indices; count must not exceed size.
  std::vector<int> Sample(int size, int count);

 private:
  uint32_t Next();             // MT19937
  uint32_t Below(uint32_t n);  // _randbelow: uniform in 0..n-1, n >= 1

  std::array<uint32_t, 624> state_;
  size_t index_ = 624;
};

}  // namespace hfwa::lab
