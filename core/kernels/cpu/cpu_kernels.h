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

// For bf16, the library's on processors with AMX: ours on tiles have not been measured beside it.
Products FasterProducts(at::ScalarType type);

// AMX for bf16 and int8, and leave to use it. Asks the system for that leave, which the process
// then has.
bool HasTiles();

// fp32, or bf16, on a processor with AVX-512 (and AVX512-BF16; AVX512-VNNI for int8); null where
// this one lacks it. Products of ours in bf16 and int8 are on tiles where the processor has them.
std::unique_ptr<Kernels> MakeAvx512Kernels(at::ScalarType type, Products products);

}  // namespace hfwa::kernels
