// The CUDA module: kernels around the shared blocks, and their launches.

#include <cuda_runtime_api.h>

#include "core/kernels/cuda/device_block.cuh"
#include "core/kernels/cuda/map_block.h"
#include "core/kernels/cuda/match_block.h"
#include "core/kernels/cuda/module_api.h"
#include "core/kernels/cuda/rows_block.h"

namespace hfwa::kernels::cuda {
namespace {

// Tasks travel as arguments of the launch, of which every driver takes 4 KB.
constexpr int kGroup = 120;
struct MatchGroup {
  MatchTask tasks[kGroup];
};
static_assert(sizeof(MatchGroup) + 16 <= 4096 && sizeof(MapTask) <= 4096);

// Two blocks share a processor's registers and shared memory.
__global__ void __launch_bounds__(kMatchThreads, 2)
    MatchKernel(const __grid_constant__ MatchGroup group, int width) {
  extern __shared__ __align__(16) uint16_t match_shared[];
  DeviceBlock block;
  MatchBlock(block, group.tasks[blockIdx.z], width, static_cast<int>(blockIdx.x),
             static_cast<int>(blockIdx.y), match_shared);
}

__global__ void ClearKeys(const __grid_constant__ MatchGroup group) {
  const MatchTask& task = group.tasks[blockIdx.y];
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < task.token_count) reinterpret_cast<uint32_t*>(task.maximum)[i] = 0;
}
__global__ void DecodeKeys(const __grid_constant__ MatchGroup group) {
  const MatchTask& task = group.tasks[blockIdx.y];
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < task.token_count) task.maximum[i] = FromKey(BitsOf(task.maximum[i]));
}

int Match(const MatchTask* tasks, int count, int width, void* stream_handle) {
  auto* const stream = static_cast<cudaStream_t>(stream_handle);
  // Of the current device; cheap, and there may be several.
  cudaError_t error = cudaFuncSetAttribute(MatchKernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                           kMatchSharedBytes);
  for (int first = 0; first < count && error == cudaSuccess; first += kGroup) {
    MatchGroup group;
    const int part = count - first < kGroup ? count - first : kGroup;
    int tokens = 0, rows = 0;
    for (int i = 0; i < part; ++i) {
      group.tasks[i] = tasks[first + i];
      if (tasks[first + i].token_count > tokens) tokens = tasks[first + i].token_count;
      if (tasks[first + i].row_count > rows) rows = tasks[first + i].row_count;
    }
    const auto z = static_cast<unsigned>(part);
    const dim3 keys(static_cast<unsigned>((tokens + 255) / 256), z);
    const dim3 tiles(static_cast<unsigned>(TokenTiles(tokens)),
                     static_cast<unsigned>(RowChunks(rows)), z);
    ClearKeys<<<keys, 256, 0, stream>>>(group);
    MatchKernel<<<tiles, kMatchThreads, kMatchSharedBytes, stream>>>(group, width);
    DecodeKeys<<<keys, 256, 0, stream>>>(group);
    error = cudaGetLastError();
  }
  return error;
}

__global__ void __launch_bounds__(kMapThreads)
    VerticalKernel(const __grid_constant__ MapTask task) {
  extern __shared__ float map_shared[];
  DeviceBlock block;
  VerticalBlock(block, task, static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.x),
                static_cast<int>(blockIdx.z), map_shared);
}
__global__ void __launch_bounds__(kMapThreads)
    HorizontalKernel(const __grid_constant__ MapTask task) {
  extern __shared__ float map_shared[];
  DeviceBlock block;
  HorizontalBlock(block, task, static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y),
                  map_shared);
}

int CombineMaps(const MapTask* task, void* stream_handle) {
  auto* const stream = static_cast<cudaStream_t>(stream_handle);
  const auto batch = static_cast<unsigned>(task->batch);
  const auto tiles = static_cast<unsigned>((task->size + kTile - 1) / kTile);
  const auto bands = static_cast<unsigned>((task->size + kBandRows - 1) / kBandRows);
  VerticalKernel<<<dim3(tiles, tiles, batch), kMapThreads, VerticalSharedBytes(*task), stream>>>(
      *task);
  HorizontalKernel<<<dim3(bands, batch), kMapThreads, HorizontalSharedBytes(*task), stream>>>(
      *task);
  return cudaGetLastError();
}

__global__ void ColourKernel(const ColourTask task) {
  const int64_t quad = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (quad * 4 < task.pixels) ColourPixels(task, quad, static_cast<int>(blockIdx.y));
}

int Colour(const ColourTask* task, void* stream) {
  const auto blocks = static_cast<unsigned>((task->pixels + 1023) / 1024);
  ColourKernel<<<dim3(blocks, static_cast<unsigned>(task->batch)), 256, 0,
                 static_cast<cudaStream_t>(stream)>>>(*task);
  return cudaGetLastError();
}

template <Type kType>
__global__ void __launch_bounds__(kRowThreads) NormKernel(const NormTask task) {
  DeviceBlock block;
  NormBlock<kType>(block, task, blockIdx.x);
}
template <Type kType, Function kFunction>
__global__ void ActivateKernel(const BiasTask task) {
  const int64_t quad = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (quad * 4 < task.rows * task.width) ActivateQuad<kType, kFunction>(task, quad);
}
template <Type kType>
__global__ void ResidualKernel(const BiasTask task) {
  const int64_t quad = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (quad * 4 < task.rows * task.width) ResidualQuad<kType>(task, quad);
}

unsigned BlocksOf(const BiasTask& task) {
  return static_cast<unsigned>((task.rows * task.width / 4 + kRowThreads - 1) / kRowThreads);
}

template <Type kType>
void LaunchActivate(const BiasTask& task, Function function, cudaStream_t stream) {
  switch (function) {
    case Function::kNone:
      ActivateKernel<kType, Function::kNone><<<BlocksOf(task), kRowThreads, 0, stream>>>(task);
      return;
    case Function::kQuickGelu:
      ActivateKernel<kType, Function::kQuickGelu><<<BlocksOf(task), kRowThreads, 0, stream>>>(task);
      return;
    case Function::kGelu:
      ActivateKernel<kType, Function::kGelu><<<BlocksOf(task), kRowThreads, 0, stream>>>(task);
      return;
    case Function::kRelu:
      ActivateKernel<kType, Function::kRelu><<<BlocksOf(task), kRowThreads, 0, stream>>>(task);
      return;
  }
}

int LayerNorm(const NormTask* task, Type type, void* stream_handle) {
  auto* const stream = static_cast<cudaStream_t>(stream_handle);
  const auto blocks = static_cast<unsigned>((task->rows + kNormRows - 1) / kNormRows);
  if (type == Type::kBf16) {
    NormKernel<Type::kBf16><<<blocks, kRowThreads, 0, stream>>>(*task);
  } else {
    NormKernel<Type::kFp16><<<blocks, kRowThreads, 0, stream>>>(*task);
  }
  return cudaGetLastError();
}

int Activated(const BiasTask* task, Type type, Function function, void* stream_handle) {
  auto* const stream = static_cast<cudaStream_t>(stream_handle);
  if (type == Type::kBf16) {
    LaunchActivate<Type::kBf16>(*task, function, stream);
  } else {
    LaunchActivate<Type::kFp16>(*task, function, stream);
  }
  return cudaGetLastError();
}

int AddResidual(const BiasTask* task, Type type, void* stream_handle) {
  auto* const stream = static_cast<cudaStream_t>(stream_handle);
  if (type == Type::kBf16) {
    ResidualKernel<Type::kBf16><<<BlocksOf(*task), kRowThreads, 0, stream>>>(*task);
  } else {
    ResidualKernel<Type::kFp16><<<BlocksOf(*task), kRowThreads, 0, stream>>>(*task);
  }
  return cudaGetLastError();
}

const char* ErrorName(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

constexpr Api kApi = {kApiVersion, ErrorName, Match,     CombineMaps,
                      Colour,      LayerNorm, Activated, AddResidual};

}  // namespace

extern "C" __attribute__((visibility("default"))) const Api* HfwaCudaApi() { return &kApi; }

}  // namespace hfwa::kernels::cuda
