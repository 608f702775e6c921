#pragma once

// What tensor cores multiply, as the threads of a warp hold it (PTX ISA, mma.m16n8k16).

#include <cstdint>

namespace hfwa::kernels::cuda {

inline constexpr int kPiece = 8;  // 16-bit values that one copy to shared memory moves: 16 bytes
struct alignas(16) Piece {
  uint16_t values[kPiece];
};

// Fragments of one 16 x 8 x 16 product, as each thread of a warp holds them.
struct FragmentA {
  uint32_t values[4];
};
struct FragmentB {
  uint32_t values[2];
};
struct FragmentC {
  float values[4];
};

}  // namespace hfwa::kernels::cuda
