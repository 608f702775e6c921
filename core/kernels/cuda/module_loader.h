#pragma once

#include <string>

#include "core/kernels/cuda/module_api.h"

namespace hfwa::kernels {
class Graph;
}

namespace hfwa::kernels::cuda {

// libhfwa_cuda.so, from ../lib beside the program's folder, else from the loader's path; loaded
// once, for the life of the program. Null where it is not there or of another version, and then
// `why` says which. Call it once a CUDA device is open. Thread-safe.
const Api* LoadModule(std::string* why);

// libhfwa_cuda_graph.so, likewise: a new Graph (core/kernels/graph.h) on a device of LibTorch's
// number.
inline constexpr char kGraphSymbol[] = "HfwaMakeCudaGraph";
using MakeGraphFunction = Graph* (*)(int device);
MakeGraphFunction LoadGraphModule(std::string* why);

}  // namespace hfwa::kernels::cuda
