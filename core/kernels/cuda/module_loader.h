#pragma once

#include <string>

#include "core/kernels/cuda/module_api.h"

namespace hfwa::kernels::cuda {

// libhfwa_cuda.so, from ../lib beside the program's folder, else from the loader's path; loaded once,
// for the life of the program. Null where it is not there or of another version, and then `why` says
// which. Call it once a CUDA device is open. Thread-safe.
const Api* LoadModule(std::string* why);

}  // namespace hfwa::kernels::cuda
