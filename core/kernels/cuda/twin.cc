#include "core/kernels/cuda/twin.h"

#include <algorithm>
#include <vector>

#include "core/kernels/cuda/map_block.h"
#include "core/kernels/cuda/match_block.h"
#include "core/kernels/cuda/rows_block.h"
#include "core/kernels/cuda/twin_block.h"

namespace hfwa::kernels::cuda {
namespace {

int Match(const MatchTask* tasks, int count, int width, void* /*stream*/) {
  TwinBlock<kMatchThreads> block;
  std::vector<uint16_t> shared(kMatchSharedBytes / sizeof(uint16_t));
  for (const MatchTask* task = tasks; task != tasks + count; ++task) {
    std::fill_n(task->maximum, task->token_count, 0.0F);
    for (int tile = 0; tile < TokenTiles(task->token_count); ++tile) {
      for (int chunk = 0; chunk < RowChunks(task->row_count); ++chunk) {
        MatchBlock(block, *task, width, tile, chunk, shared.data());
      }
    }
    for (int i = 0; i < task->token_count; ++i) {
      task->maximum[i] = FromKey(BitsOf(task->maximum[i]));
    }
  }
  return 0;
}

int CombineMaps(const MapTask* task, void* /*stream*/) {
  TwinBlock<kMapThreads> block;
  const auto shared_bytes =
      static_cast<size_t>(std::max(VerticalSharedBytes(*task), HorizontalSharedBytes(*task)));
  std::vector<float> shared(shared_bytes / sizeof(float));
  for (int b = 0; b < task->batch; ++b) {
    for (int y = 0; y * kTile < task->size; ++y) {
      for (int x = 0; x * kTile < task->size; ++x) {
        VerticalBlock(block, *task, y, x, b, shared.data());
      }
    }
    for (int band = 0; band * kBandRows < task->size; ++band) {
      HorizontalBlock(block, *task, band, b, shared.data());
    }
  }
  return 0;
}

int Colour(const ColourTask* task, void* /*stream*/) {
  for (int b = 0; b < task->batch; ++b) {
    for (int64_t quad = 0; quad * 4 < task->pixels; ++quad) ColourPixels(*task, quad, b);
  }
  return 0;
}

template <Type kType>
void LayerNorm(const NormTask& task) {
  TwinBlock<kRowThreads> block;
  for (int64_t group = 0; group * kNormRows < task.rows; ++group) {
    NormBlock<kType>(block, task, group);
  }
}

template <typename Work>
void ForEachQuad(const BiasTask& task, const Work& work) {
  for (int64_t quad = 0; quad * 4 < task.rows * task.width; ++quad) work(task, quad);
}

template <Type kType>
void Activated(const BiasTask& task, Function function) {
  switch (function) {
    case Function::kNone:
      return ForEachQuad(task, ActivateQuad<kType, Function::kNone>);
    case Function::kQuickGelu:
      return ForEachQuad(task, ActivateQuad<kType, Function::kQuickGelu>);
    case Function::kGelu:
      return ForEachQuad(task, ActivateQuad<kType, Function::kGelu>);
    case Function::kRelu:
      return ForEachQuad(task, ActivateQuad<kType, Function::kRelu>);
  }
}

}  // namespace

const Api& Twin() {
  static constexpr Api kTwin = {
      .version = kApiVersion,
      .error_name = [](int) { return "no error of the twin"; },
      .match = Match,
      .combine_maps = CombineMaps,
      .colour = Colour,
      .layer_norm =
          [](const NormTask* task, Type type, void*) {
            type == Type::kBf16 ? LayerNorm<Type::kBf16>(*task) : LayerNorm<Type::kFp16>(*task);
            return 0;
          },
      .activate =
          [](const BiasTask* task, Type type, Function function, void*) {
            type == Type::kBf16 ? Activated<Type::kBf16>(*task, function)
                                : Activated<Type::kFp16>(*task, function);
            return 0;
          },
      .add_residual =
          [](const BiasTask* task, Type type, void*) {
            type == Type::kBf16 ? ForEachQuad(*task, ResidualQuad<Type::kBf16>)
                                : ForEachQuad(*task, ResidualQuad<Type::kFp16>);
            return 0;
          },
  };
  return kTwin;
}

}  // namespace hfwa::kernels::cuda
