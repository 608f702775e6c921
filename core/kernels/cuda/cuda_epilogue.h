#pragma once

// Banks and what follows the forward pass, by the CUDA module.

#include <memory>

#include "core/kernels/cuda/launcher.h"
#include "core/kernels/cuda/row_pool.h"
#include "core/kernels/epilogue.h"

namespace hfwa::kernels {

// In fp16. `launcher` outlives the result.
std::unique_ptr<Rows> MakeCudaRows(cuda::RowPool::Rows rows, const cuda::Launcher& launcher);

// For such rows. `launcher` outlives the result.
std::unique_ptr<Epilogue> MakeCudaEpilogue(const cuda::Launcher& launcher);

}  // namespace hfwa::kernels
