#pragma once

#include <memory>

#include "core/kernels/kernels.h"

namespace hfwa::kernels {

// Who computes linear maps.
enum class Products {
  kOwn,
  kLibrary,  // oneDNN, by LibTorch
};

// The library's on processors with AMX, whose matrix unit it uses and these kernels do not; else
// ours.
Products FasterProducts();

// bf16 on a processor with AVX512-BF16; null where this one has none.
std::unique_ptr<Kernels> MakeAvx512Bf16Kernels(Products products);

}  // namespace hfwa::kernels
