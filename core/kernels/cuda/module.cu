// The CUDA module: kernels around the shared blocks, and their launches.

#include <cuda_runtime_api.h>

#include "core/kernels/cuda/device_block.cuh"
#include "core/kernels/cuda/map_block.h"
#include "core/kernels/cuda/match_block.h"
#include "core/kernels/cuda/module_api.h"
#include "core/kernels/cuda/rows_block.h"
#include "core/kernels/cuda/window_block.h"

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

// Rows, a warp each ------------------------------------------------------------------------------

template <Type kType, int kQuads>
__global__ void __launch_bounds__(kRowThreads) NormKernel(const NormTask task) {
  DeviceBlock block;
  NormBlock<kType, kQuads>(block, task, blockIdx.x);
}
template <Type kType, int kQuads>
__global__ void __launch_bounds__(kRowThreads) BranchKernel(const BranchTask task) {
  DeviceBlock block;
  BranchBlock<kType, kQuads>(block, task, blockIdx.x);
}
template <Type kType, int kQuads>
__global__ void __launch_bounds__(kRowThreads) UnitKernel(const UnitTask task) {
  DeviceBlock block;
  UnitBlock<kType, kQuads>(block, task, blockIdx.x);
}
template <Type kType, int kQuads>
__global__ void __launch_bounds__(kRowThreads) CosineKernel(const CosineTask task) {
  DeviceBlock block;
  CosineBlock<kType, kQuads>(block, task, blockIdx.x);
}

template <typename Task>
using RowKernel = void (*)(Task);

// Kernels of one task: by type, for rows of up to 1024 values and longer ones.
template <typename Task>
int LaunchRows(const Task& task, Type type, const RowKernel<Task> (&kernels)[2][2],
               void* stream_handle) {
  const auto blocks = static_cast<unsigned>((task.rows + kBlockRows - 1) / kBlockRows);
  const RowKernel<Task> kernel = kernels[type == Type::kBf16 ? 0 : 1][task.width <= 1024 ? 0 : 1];
  kernel<<<blocks, kRowThreads, 0, static_cast<cudaStream_t>(stream_handle)>>>(task);
  return cudaGetLastError();
}
static_assert(kNormWidthMax == 16 * 128);

int LayerNorm(const NormTask* task, Type type, void* stream) {
  return LaunchRows<NormTask>(*task, type,
                              {{NormKernel<Type::kBf16, 8>, NormKernel<Type::kBf16, 16>},
                               {NormKernel<Type::kFp16, 8>, NormKernel<Type::kFp16, 16>}},
                              stream);
}
int AddNormed(const BranchTask* task, Type type, void* stream) {
  return LaunchRows<BranchTask>(*task, type,
                                {{BranchKernel<Type::kBf16, 8>, BranchKernel<Type::kBf16, 16>},
                                 {BranchKernel<Type::kFp16, 8>, BranchKernel<Type::kFp16, 16>}},
                                stream);
}
int Unit(const UnitTask* task, Type type, void* stream) {
  return LaunchRows<UnitTask>(*task, type,
                              {{UnitKernel<Type::kBf16, 8>, UnitKernel<Type::kBf16, 16>},
                               {UnitKernel<Type::kFp16, 8>, UnitKernel<Type::kFp16, 16>}},
                              stream);
}
int Cosines(const CosineTask* task, Type type, void* stream) {
  return LaunchRows<CosineTask>(*task, type,
                                {{CosineKernel<Type::kBf16, 8>, CosineKernel<Type::kBf16, 16>},
                                 {CosineKernel<Type::kFp16, 8>, CosineKernel<Type::kFp16, 16>}},
                                stream);
}

// Rows, a block each -----------------------------------------------------------------------------

template <Type kType, Function kFunction>
__global__ void ActivateKernel(const BiasTask task) {
  ActivateRow<kType, kFunction>(task, blockIdx.x, static_cast<int>(threadIdx.x),
                                static_cast<int>(blockDim.x));
}
template <Type kType>
__global__ void ResidualKernel(const BiasTask task) {
  ResidualRow<kType>(task, blockIdx.x, static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x));
}
template <Type kType>
__global__ void RoundKernel(const RoundTask task) {
  RoundRow<kType>(task, blockIdx.x, static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x));
}

template <typename Task>
int LaunchWalk(const Task& task, Type type, RowKernel<Task> bf16, RowKernel<Task> fp16,
               void* stream_handle) {
  const unsigned quads = static_cast<unsigned>(task.width) / 4, warps = (quads + 31) / 32;
  const unsigned threads = (warps < 8 ? warps : 8) * 32;
  const RowKernel<Task> kernel = type == Type::kBf16 ? bf16 : fp16;
  kernel<<<static_cast<unsigned>(task.rows), threads, 0,
           static_cast<cudaStream_t>(stream_handle)>>>(task);
  return cudaGetLastError();
}

template <Function kFunction>
int LaunchActivate(const BiasTask& task, Type type, void* stream) {
  return LaunchWalk<BiasTask>(task, type, ActivateKernel<Type::kBf16, kFunction>,
                              ActivateKernel<Type::kFp16, kFunction>, stream);
}

int Activated(const BiasTask* task, Type type, Function function, void* stream) {
  switch (function) {
    case Function::kNone:
      return LaunchActivate<Function::kNone>(*task, type, stream);
    case Function::kQuickGelu:
      return LaunchActivate<Function::kQuickGelu>(*task, type, stream);
    case Function::kGelu:
      return LaunchActivate<Function::kGelu>(*task, type, stream);
    case Function::kRelu:
      return LaunchActivate<Function::kRelu>(*task, type, stream);
  }
  return cudaErrorInvalidValue;
}

int AddResidual(const BiasTask* task, Type type, void* stream) {
  return LaunchWalk<BiasTask>(*task, type, ResidualKernel<Type::kBf16>, ResidualKernel<Type::kFp16>,
                              stream);
}
int Round(const RoundTask* task, Type type, void* stream) {
  return LaunchWalk<RoundTask>(*task, type, RoundKernel<Type::kBf16>, RoundKernel<Type::kFp16>,
                               stream);
}

// Windows ----------------------------------------------------------------------------------------

template <Type kType>
__global__ void __launch_bounds__(kWindowThreads, 2) WindowKernel(const WindowTask task) {
  extern __shared__ __align__(16) uint16_t window_shared[];
  DeviceBlock block;
  WindowAttender<kType, DeviceBlock>{block,
                                     task,
                                     static_cast<int>(blockIdx.z),
                                     static_cast<int>(blockIdx.y),
                                     static_cast<int>(blockIdx.x),
                                     window_shared}
      .Run();
}

int AttendWindows(const WindowTask* task, Type type, void* stream_handle) {
  const auto kernel = type == Type::kBf16 ? WindowKernel<Type::kBf16> : WindowKernel<Type::kFp16>;
  const int shared = WindowSharedBytes(task->parts);
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared);
  if (error != cudaSuccess) return error;
  const dim3 blocks(static_cast<unsigned>(task->heads),
                    static_cast<unsigned>(task->tokens / task->inside),
                    static_cast<unsigned>(task->images));
  kernel<<<blocks, kWindowThreads, static_cast<size_t>(shared),
           static_cast<cudaStream_t>(stream_handle)>>>(*task);
  return cudaGetLastError();
}

const char* ErrorName(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

constexpr Api kApi = {.version = kApiVersion,
                      .error_name = ErrorName,
                      .match = Match,
                      .combine_maps = CombineMaps,
                      .colour = Colour,
                      .layer_norm = LayerNorm,
                      .add_normed = AddNormed,
                      .unit = Unit,
                      .cosines = Cosines,
                      .round = Round,
                      .attend_windows = AttendWindows,
                      .activate = Activated,
                      .add_residual = AddResidual};

}  // namespace

extern "C" __attribute__((visibility("default"))) const Api* HfwaCudaApi() { return &kApi; }

}  // namespace hfwa::kernels::cuda
