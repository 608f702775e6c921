#include "core/kernels/cuda/twin.h"

#include <algorithm>
#include <vector>

#include "core/kernels/cuda/map_block.h"
#include "core/kernels/cuda/match_block.h"
#include "core/kernels/cuda/rows_block.h"
#include "core/kernels/cuda/twin_block.h"
#include "core/kernels/cuda/window_block.h"

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

// One call a block.
template <typename Task, typename Work>
int ForEachGroup(const Task& task, const Work& work) {
  TwinBlock<kRowThreads> block;
  for (int64_t group = 0; group * kBlockRows < task.rows; ++group) work(block, task, group);
  return 0;
}

// The longest rows' kernels, for rows of any length.
constexpr int kQuads = kNormWidthMax / 128;
using RowBlock = TwinBlock<kRowThreads>;

int LayerNorm(const NormTask* task, Type type, void* /*stream*/) {
  return ForEachGroup(*task, type == Type::kBf16 ? NormBlock<Type::kBf16, kQuads, RowBlock>
                                                 : NormBlock<Type::kFp16, kQuads, RowBlock>);
}
int AddNormed(const BranchTask* task, Type type, void* /*stream*/) {
  return ForEachGroup(*task, type == Type::kBf16 ? BranchBlock<Type::kBf16, kQuads, RowBlock>
                                                 : BranchBlock<Type::kFp16, kQuads, RowBlock>);
}
int Unit(const UnitTask* task, Type type, void* /*stream*/) {
  return ForEachGroup(*task, type == Type::kBf16 ? UnitBlock<Type::kBf16, kQuads, RowBlock>
                                                 : UnitBlock<Type::kFp16, kQuads, RowBlock>);
}
int Cosines(const CosineTask* task, Type type, void* /*stream*/) {
  return ForEachGroup(*task, type == Type::kBf16 ? CosineBlock<Type::kBf16, kQuads, RowBlock>
                                                 : CosineBlock<Type::kFp16, kQuads, RowBlock>);
}

constexpr int kWalkers = 32;  // threads that walk a row

template <typename Task>
int WalkRows(const Task& task, void (*work)(const Task&, int64_t, int, int)) {
  for (int64_t row = 0; row < task.rows; ++row) {
    for (int thread = 0; thread < kWalkers; ++thread) work(task, row, thread, kWalkers);
  }
  return 0;
}

template <Type kType>
int Activated(const BiasTask& task, Function function) {
  switch (function) {
    case Function::kNone:
      return WalkRows<BiasTask>(task, ActivateRow<kType, Function::kNone>);
    case Function::kQuickGelu:
      return WalkRows<BiasTask>(task, ActivateRow<kType, Function::kQuickGelu>);
    case Function::kGelu:
      return WalkRows<BiasTask>(task, ActivateRow<kType, Function::kGelu>);
    case Function::kRelu:
      return WalkRows<BiasTask>(task, ActivateRow<kType, Function::kRelu>);
  }
  return 1;
}

int Activated(const BiasTask* task, Type type, Function function, void* /*stream*/) {
  return type == Type::kBf16 ? Activated<Type::kBf16>(*task, function)
                             : Activated<Type::kFp16>(*task, function);
}
int AddResidual(const BiasTask* task, Type type, void* /*stream*/) {
  return WalkRows<BiasTask>(
      *task, type == Type::kBf16 ? ResidualRow<Type::kBf16> : ResidualRow<Type::kFp16>);
}
int Round(const RoundTask* task, Type type, void* /*stream*/) {
  return WalkRows<RoundTask>(*task,
                             type == Type::kBf16 ? RoundRow<Type::kBf16> : RoundRow<Type::kFp16>);
}

template <Type kType>
void AttendWindows(const WindowTask& task) {
  TwinBlock<kWindowThreads> block;
  std::vector<uint16_t> shared(static_cast<size_t>(WindowSharedBytes(task.parts)) / 2);
  for (int image = 0; image < task.images; ++image) {
    for (int window = 0; window < task.tokens / task.inside; ++window) {
      for (int head = 0; head < task.heads; ++head) {
        WindowAttender<kType, TwinBlock<kWindowThreads>>{block,  task, image,
                                                         window, head, shared.data()}
            .Run();
      }
    }
  }
}

int AttendWindows(const WindowTask* task, Type type, void* /*stream*/) {
  type == Type::kBf16 ? AttendWindows<Type::kBf16>(*task) : AttendWindows<Type::kFp16>(*task);
  return 0;
}

}  // namespace

const Api& Twin() {
  static constexpr Api kTwin = {
      .version = kApiVersion,
      .error_name = [](int) { return "no error of the twin"; },
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
      .add_residual = AddResidual,
  };
  return kTwin;
}

}  // namespace hfwa::kernels::cuda
