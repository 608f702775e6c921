#pragma once

#include <memory>

#include <ATen/core/Tensor.h>

#include "core/kernels/cuda/module_api.h"
#include "core/kernels/kernels.h"

namespace hfwa::kernels {

// bf16 or fp16 on a CUDA device, by LibTorch's matrix products and attention and the functions of
// the CUDA module. Rows are kept in fp16: where tokens have length one that is eight times finer
// than bf16, at the same speed.
//
// With the twin's functions (twin.h) and the CPU as device, the same code runs for tests.
std::unique_ptr<Kernels> MakeCudaKernels(const cuda::Api& api, at::Device device,
                                         at::ScalarType type);

// The same with the module's functions, or LibTorch's operators where the module is not there;
// name() tells which and why.
std::unique_ptr<Kernels> MakeGpuKernels(at::Device device, at::ScalarType type);

}  // namespace hfwa::kernels
