#pragma once

#include <cstdint>
#include <string_view>

namespace hfwa::lab::train {

// Random numbers that are a function of the run's seed, a purpose and two counters (an epoch and a
// place in it), so that a run that goes on after a crash draws what it would have drawn.
class Random {
 public:
  Random(uint64_t seed, std::string_view purpose, uint64_t first = 0, uint64_t second = 0);

  uint64_t Next();
  // Uniform in 0..n-1; n at least 1.
  uint64_t Below(uint64_t n);
  // Uniform in [0, 1).
  double Uniform();
  // Mean 0, deviation 1.
  double Normal();

 private:
  uint64_t state_;
};

}  // namespace hfwa::lab::train
