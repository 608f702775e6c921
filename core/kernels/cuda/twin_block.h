#pragma once

// A block of threads on the CPU, one after the other: the twin of device_block.cuh. What a warp
// does together is spelt out by the instruction set's description (PTX ISA: ldmatrix,
// mma.m16n8k16), so that the kernels' own arithmetic of indices is what is tested.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/kernels/cuda/fragments.h"
#include "core/kernels/cuda/numbers.h"

namespace hfwa::kernels::cuda {

inline constexpr int kWarp = 32;

template <int kThreads>
struct TwinBlock {
  template <typename T>
  class PerThread {
   public:
    PerThread() : values_(kThreads) {}
    T& operator[](int thread) { return values_[static_cast<size_t>(thread)]; }

   private:
    std::vector<T> values_;
  };

  template <typename Work>
  void ForEach(const Work& work) const {
    for (int t = 0; t < kThreads; ++t) work(t);
  }
  void Sync() const {}
  void AtomicMax(uint32_t* place, uint32_t value) const { *place = std::max(*place, value); }

  void CopyAsync16(uint16_t* to, const uint16_t* from, bool there) const {
    if (there) {
      std::memcpy(to, from, 16);
    } else {
      std::memset(to, 0, 16);
    }
  }
  void CommitCopies() const {}
  template <int kNewest>
  void AwaitCopies() const {}

  // Thread l receives values 2 (l % 4) and the next of line l / 4 of each matrix.
  template <typename Address, typename Register>
  void LoadMatrices(const Address& address, const Register& into) const {
    for (int warp = 0; warp < kThreads; warp += kWarp) {
      for (int matrix = 0; matrix < 4; ++matrix) {
        for (int lane = 0; lane < kWarp; ++lane) {
          const uint16_t* line = address(warp + matrix * 8 + lane / 4);
          std::memcpy(&into(warp + lane, matrix), line + lane % 4 * 2, sizeof(uint32_t));
        }
      }
    }
  }

  // Thread l receives lines 2 (l % 4) and the next of column l / 4 of each matrix.
  template <typename Address, typename Register>
  void LoadTransposed(const Address& address, const Register& into) const {
    for (int warp = 0; warp < kThreads; warp += kWarp) {
      for (int matrix = 0; matrix < 4; ++matrix) {
        for (int lane = 0; lane < kWarp; ++lane) {
          const int line = warp + matrix * 8 + lane % 4 * 2;
          const uint32_t low = address(line)[lane / 4], high = address(line + 1)[lane / 4];
          into(warp + lane, matrix) = low | high << 16;
        }
      }
    }
  }

  template <Type kType, typename Sums, typename Left>
  void MultiplyAdd(const Sums& sums, const Left& a, PerThread<FragmentB>& b) const {
    for (int warp = 0; warp < kThreads; warp += kWarp) {
      float left[16][16];
      float right[16][8];
      for (int lane = 0; lane < kWarp; ++lane) {
        const int group = lane / 4, place = lane % 4 * 2;
        for (int i = 0; i < 4; ++i) {
          const uint32_t pair = a(warp + lane).values[i];
          float* line = left[group + i % 2 * 8] + place + i / 2 * 8;
          line[0] = Load16<kType>(static_cast<uint16_t>(pair));
          line[1] = Load16<kType>(static_cast<uint16_t>(pair >> 16));
        }
        for (int i = 0; i < 2; ++i) {
          const uint32_t pair = b[warp + lane].values[i];
          right[place + i * 8][group] = Load16<kType>(static_cast<uint16_t>(pair));
          right[place + i * 8 + 1][group] = Load16<kType>(static_cast<uint16_t>(pair >> 16));
        }
      }
      for (int lane = 0; lane < kWarp; ++lane) {
        float* c = sums(warp + lane).values;
        for (int i = 0; i < 4; ++i) {
          const int m = lane / 4 + i / 2 * 8, n = lane % 4 * 2 + i % 2;
          for (int k = 0; k < 16; ++k) c[i] += left[m][k] * right[k][n];
        }
      }
    }
  }

  template <typename Value, typename Combine>
  void ReduceXor(int mask, const Value& value, const Combine& combine) const {
    using T = std::decay_t<decltype(value(0))>;
    std::vector<T> before;
    before.reserve(kThreads);
    for (int t = 0; t < kThreads; ++t) before.push_back(value(t));
    for (int t = 0; t < kThreads; ++t) {
      value(t) = combine(before[static_cast<size_t>(t)], before[static_cast<size_t>(t ^ mask)]);
    }
  }
};

}  // namespace hfwa::kernels::cuda
