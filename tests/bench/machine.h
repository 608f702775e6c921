#pragma once

// What this machine can do, measured now: the yardsticks that stages are held against.

#include <string>

#include "core/kernels/kernels.h"

namespace hfwa::bench {

// Processor model, threads in use, and the matrix instructions that it has.
std::string MachineName();

// Best rate of one prepacked linear map of these kernels at the shapes of ViT-L (577 tokens, widths
// 1024 and 4096) over a few runs, in FLOP/s, with as many threads as LibTorch has been given.
double MatrixRate(const kernels::Kernels& kernels);

// Best rate of reading and writing large arrays (a = b + s c), in bytes/s, likewise.
double MemoryRate();

}  // namespace hfwa::bench
