#pragma once

#include <cstddef>
#include <cstdint>
#include <random>

#include "absl/time/time.h"

namespace hfwa::bench {

// Numbers that depend on the seed alone: the same on every machine, with every library.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  // 0 or more, less than 1.
  double Fraction();
  // Less than `count`, which is at least 1.
  size_t Below(size_t count);

 private:
  std::mt19937_64 engine_;  // The standard says what it gives.
};

enum class ArrivalKind { kPoisson, kConstant };

// When an open loop sends: times since the start of the run, each at or after the one before.
class Arrivals {
 public:
  // `rate` a second, more than 0.
  Arrivals(ArrivalKind kind, double rate, uint64_t seed);
  absl::Duration Next();

 private:
  const ArrivalKind kind_;
  const double rate_;
  Random random_;
  double arrived_ = 0;  // In multiples of 1 / rate.
};

// What a request is about, by index.
struct Pick {
  size_t product = 0;
  size_t picture = 0;
};

// Draws products and pictures, independently and all with the same chance.
class Mix {
 public:
  // Both counts at least 1.
  Mix(size_t products, size_t pictures, uint64_t seed);
  Pick Next();

 private:
  const size_t products_;
  const size_t pictures_;
  Random random_;
};

}  // namespace hfwa::bench
