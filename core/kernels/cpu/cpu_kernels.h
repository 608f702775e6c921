#pragma once

#include <memory>

#include "core/kernels/kernels.h"

namespace hfwa::kernels {

// Who computes linear maps.
enum class Products {
  kOwn,
  kLibrary,  // oneDNN, by LibTorch
  kInt8,     // ours; those that are marked as sensitive in the compute type
};

// For bf16, the library's on processors with AMX, whose matrix unit it uses and these kernels do
// not; else ours.
Products FasterProducts(at::ScalarType type);

// fp32, or bf16, on a processor with AVX-512 (and AVX512-BF16; AVX512-VNNI for int8); null where
// this one lacks it.
std::unique_ptr<Kernels> MakeAvx512Kernels(at::ScalarType type, Products products);

}  // namespace hfwa::kernels
