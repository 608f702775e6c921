#pragma once

#include "core/kernels/cuda/module_api.h"

namespace hfwa::kernels::cuda {

// The module's functions on the CPU, block by block, thread by thread: what the device is expected
// to compute. Slow, for tests alone. Pointers are to the host's memory, streams are ignored.
const Api& Twin();

}  // namespace hfwa::kernels::cuda
