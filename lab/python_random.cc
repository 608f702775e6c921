#include "lab/python_random.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace hfwa::lab {

// MT19937's initialisation by an array of one word, which is what Python does with a small int; the
// standard library's engine seeds otherwise.
PythonRandom::PythonRandom(uint32_t seed) {
  constexpr uint32_t kSize = 624;
  state_[0] = 19650218U;
  for (uint32_t i = 1; i < kSize; ++i) {
    state_[i] = 1812433253U * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
  }
  uint32_t i = 1;
  const auto advance = [&] {
    if (++i >= kSize) {
      state_[0] = state_[kSize - 1];
      i = 1;
    }
  };
  for (uint32_t k = 0; k < kSize; ++k) {
    state_[i] = (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1664525U)) + seed;
    advance();
  }
  for (uint32_t k = 1; k < kSize; ++k) {
    state_[i] = (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1566083941U)) - i;
    advance();
  }
  state_[0] = 0x80000000U;
}

uint32_t PythonRandom::Next() {
  constexpr size_t kSize = 624, kShift = 397;
  if (index_ == kSize) {
    for (size_t i = 0; i < kSize; ++i) {
      const uint32_t bits = (state_[i] & 0x80000000U) | (state_[(i + 1) % kSize] & 0x7FFFFFFFU);
      state_[i] = state_[(i + kShift) % kSize] ^ (bits >> 1) ^ ((bits & 1U) * 0x9908B0DFU);
    }
    index_ = 0;
  }
  uint32_t y = state_[index_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9D2C5680U;
  y ^= (y << 15) & 0xEFC60000U;
  return y ^ (y >> 18);
}

uint32_t PythonRandom::Below(uint32_t n) {
  const int bits = std::bit_width(n);
  uint32_t value = 0;
  do {
    value = Next() >> (32 - bits);
  } while (value >= n);
  return value;
}

std::vector<int> PythonRandom::Sample(int size, int count) {
  // Python takes one of two ways, by which is thought to need less memory; they draw differently.
  double set_size = 21;
  if (count > 5) set_size += std::pow(4, std::ceil(std::log(count * 3) / std::log(4)));
  std::vector<int> result;
  if (size <= set_size) {
    std::vector<int> pool(static_cast<size_t>(size));
    std::iota(pool.begin(), pool.end(), 0);
    for (int i = 0; i < count; ++i) {
      const uint32_t j = Below(static_cast<uint32_t>(size - i));
      result.push_back(pool[j]);
      pool[j] = pool[static_cast<size_t>(size - i - 1)];
    }
    return result;
  }
  while (static_cast<int>(result.size()) < count) {
    const int j = static_cast<int>(Below(static_cast<uint32_t>(size)));
    if (std::find(result.begin(), result.end(), j) == result.end()) result.push_back(j);
  }
  return result;
}

}  // namespace hfwa::lab
