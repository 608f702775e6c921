#include "lab/train/random.h"

#include <cmath>
#include <numbers>

namespace hfwa::lab::train {
namespace {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;

// SplitMix64's finaliser.
uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

Random::Random(uint64_t seed, std::string_view purpose, uint64_t first, uint64_t second) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char byte : purpose) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  state_ = Mix(hash + kGolden);
  for (const uint64_t part : {seed, first, second}) state_ = Mix(state_ ^ Mix(part + kGolden));
}

uint64_t Random::Next() { return Mix(state_ += kGolden); }

uint64_t Random::Below(uint64_t n) {
  // Values beyond the last whole multiple of n would make small results likelier.
  const uint64_t excess = (UINT64_MAX % n + 1) % n;
  uint64_t value = Next();
  while (value > UINT64_MAX - excess) value = Next();
  return value % n;
}

double Random::Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

double Random::Normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - Uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * Uniform());
}

}  // namespace hfwa::lab::train
