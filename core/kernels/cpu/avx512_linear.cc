#include "core/kernels/cpu/avx512_linear.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include <ATen/ATen.h>

#include "core/kernels/cpu/tasks.h"

namespace hfwa::kernels {
namespace {

using avx512::Amx;
using avx512::Avx512;
using avx512::Avx512Int8;
using avx512::PackedRows;
using avx512::Tiles;

// A task that has fewer rows reads more of the weight than it computes with.
constexpr int64_t kChunkRows = 96;
constexpr int64_t kTasksPerThread = 4;
constexpr int64_t kQuantizedRowsPerTask = 16;

avx512::Activation Fused(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return avx512::Activation::kNone;
    case Activation::kQuickGelu:
      return avx512::Activation::kQuickGelu;
    case Activation::kGelu:
      return avx512::Activation::kGelu;
    case Activation::kRelu:
      return avx512::Activation::kRelu;
  }
  return avx512::Activation::kNone;
}

// Tiles where rows of `value_bytes` a value fill them.
template <typename T>
Registers Usable(Registers registers, int64_t width, size_t value_bytes) {
  const bool fills =
      width * static_cast<int64_t>(value_bytes) % Amx<Tiles::kHardware>::kRowBytes == 0;
  return std::is_same_v<T, uint16_t> && fills ? registers : Registers::kVectors;
}

// What a product of either kind has in common. `Run` shares it out.
template <typename T>
class FusedLinear : public Linear {
 public:
  FusedLinear(const LinearWeights& weights, Activation activation, Registers registers)
      : shape_{.count = weights.weight.size(0), .width = weights.weight.size(1)},
        registers_(registers),
        activation_(Fused(activation)) {
    if (weights.bias.defined()) bias_ = weights.bias.to(at::kCPU, at::kFloat).contiguous();
  }

  at::Tensor Apply(const at::Tensor& x) const override {
    std::vector<int64_t> sizes = x.sizes().vec();
    sizes.back() = shape_.count;
    at::Tensor y = at::empty(sizes, TypeOf<T>());
    Run(x, {.bias = Bias(), .activation = activation_, .out = MutableValues<T>(y)});
    return y;
  }

  void AddTo(at::Tensor& sum, const at::Tensor& x) const override {
    Run(x, {.bias = Bias(), .activation = activation_, .x = sum.data_ptr<float>()});
  }

 protected:
  virtual void Run(const at::Tensor& x, const avx512::Epilogue<T>& epilogue) const = 0;

  // Calls multiply(block, first row, rows, its epilogue, scratch). Blocks of columns and chunks of
  // rows are shared out so that a thread's tasks use one block as long as possible.
  // `scratch_values(rows)` says how many fp32 or int32 values a task works in.
  template <typename ScratchValues, typename Multiply>
  void ForEachBlock(int64_t rows, const avx512::Epilogue<T>& epilogue,
                    const ScratchValues& scratch_values, const Multiply& multiply) const {
    const int64_t tasks_wanted = kTasksPerThread * at::get_num_threads();
    const int64_t chunks = std::clamp(tasks_wanted / shape_.blocks(), int64_t{1},
                                      (rows + kChunkRows - 1) / kChunkRows);
    const int64_t chunk =
        (rows + chunks - 1) / chunks / avx512::kTileRows * avx512::kTileRows + avx512::kTileRows;
    const size_t scratch_bytes = scratch_values(std::min(chunk, rows)) * sizeof(float);
    ForEachTask(shape_.blocks() * chunks, scratch_bytes, [&](int64_t task, void* scratch) {
      const int64_t first = task % chunks * chunk, count = std::min(chunk, rows - first);
      if (count <= 0) return;
      avx512::Epilogue<T> own = epilogue;
      if (own.out != nullptr) own.out += first * shape_.count;
      if (own.x != nullptr) own.x += first * shape_.count;
      multiply(task / chunks, first, count, own, scratch);
    });
  }

  const PackedRows shape_;
  const Registers registers_;

 private:
  const float* Bias() const { return bias_.defined() ? bias_.const_data_ptr<float>() : nullptr; }

  at::Tensor bias_;  // fp32, or undefined
  const avx512::Activation activation_;
};

template <typename T>
class Avx512Linear final : public FusedLinear<T> {
  using FusedLinear<T>::shape_;
  using FusedLinear<T>::registers_;

 public:
  Avx512Linear(const LinearWeights& weights, Activation activation, Registers registers)
      : FusedLinear<T>(weights, activation,
                       Usable<T>(registers, weights.weight.size(1), sizeof(T))),
        packed_(at::zeros({static_cast<int64_t>(shape_.packed_size())}, TypeOf<T>())) {
    const at::Tensor weight = weights.weight.to(at::kCPU, at::kFloat).contiguous();
    Avx512<T>::PackRows(shape_, weight.const_data_ptr<float>(), 0, shape_.count,
                        MutableValues<T>(packed_));
  }

 private:
  void Run(const at::Tensor& x, const avx512::Epilogue<T>& epilogue) const override {
    const at::Tensor in = x.to(TypeOf<T>()).contiguous();
    this->ForEachBlock(
        in.numel() / shape_.width, epilogue,
        [&](int64_t rows) { return Avx512<T>::MultiplyScratch(shape_, rows); },
        [&](int64_t block, int64_t first, int64_t rows, const avx512::Epilogue<T>& own,
            void* scratch) {
          const T* rows_of = Values<T>(in) + first * shape_.width;
          if constexpr (std::is_same_v<T, uint16_t>) {
            if (registers_ == Registers::kTiles)
              return Amx<Tiles::kHardware>::Multiply(shape_, Values<T>(packed_), block, rows_of,
                                                     rows, own);
            if (registers_ == Registers::kSoftwareTiles)
              return Amx<Tiles::kSoftware>::Multiply(shape_, Values<T>(packed_), block, rows_of,
                                                     rows, own);
          }
          Avx512<T>::Multiply(shape_, Values<T>(packed_), block, rows_of, rows, own,
                              static_cast<float*>(scratch));
        });
  }

  const at::Tensor packed_;
};

template <typename T>
class Int8Linear final : public FusedLinear<T> {
  using FusedLinear<T>::shape_;
  using FusedLinear<T>::registers_;

 public:
  Int8Linear(const LinearWeights& weights, Activation activation, Registers registers)
      : FusedLinear<T>(weights, activation, Usable<T>(registers, weights.weight.size(1), 1)),
        values_(at::zeros({static_cast<int64_t>(shape_.packed_size())}, at::kChar)),
        scales_(at::zeros({shape_.blocks() * PackedRows::kBlock}, at::kFloat)),
        offsets_(at::zeros({shape_.blocks() * PackedRows::kBlock}, at::kInt)) {
    const at::Tensor weight = weights.weight.to(at::kCPU, at::kFloat).contiguous();
    Avx512Int8<T>::Pack(shape_, weight.const_data_ptr<float>(), MutableValues<int8_t>(values_),
                        MutableValues<float>(scales_), MutableValues<int32_t>(offsets_));
  }

 private:
  void Run(const at::Tensor& x, const avx512::Epilogue<T>& epilogue) const override {
    const at::Tensor in = x.to(TypeOf<T>()).contiguous();
    const int64_t rows = in.numel() / shape_.width, width = shape_.width;
    const at::Tensor quantized = at::empty({rows, width}, at::kByte);
    const at::Tensor scales = at::empty({rows}, at::kFloat);
    at::parallel_for(0, rows, kQuantizedRowsPerTask, [&](int64_t begin, int64_t end) {
      Avx512Int8<T>::Quantize(Values<T>(in) + begin * width, end - begin, width,
                              MutableValues<uint8_t>(quantized) + begin * width,
                              MutableValues<float>(scales) + begin);
    });
    const avx512::PackedInt8 packed{.shape = shape_,
                                    .values = Values<int8_t>(values_),
                                    .scales = Values<float>(scales_),
                                    .offsets = Values<int32_t>(offsets_)};
    this->ForEachBlock(
        rows, epilogue,
        [&](int64_t count) { return Avx512Int8<T>::MultiplyScratch(shape_, count); },
        [&](int64_t block, int64_t first, int64_t count, const avx512::Epilogue<T>& own,
            void* scratch) {
          const uint8_t* rows_of = Values<uint8_t>(quantized) + first * width;
          const float* scales_of = Values<float>(scales) + first;
          if constexpr (std::is_same_v<T, uint16_t>) {
            if (registers_ == Registers::kTiles)
              return Amx<Tiles::kHardware>::MultiplyInt8(packed, block, rows_of, scales_of, count,
                                                         own);
            if (registers_ == Registers::kSoftwareTiles)
              return Amx<Tiles::kSoftware>::MultiplyInt8(packed, block, rows_of, scales_of, count,
                                                         own);
          }
          Avx512Int8<T>::Multiply(packed, block, rows_of, scales_of, count, own,
                                  static_cast<int32_t*>(scratch));
        });
  }

  const at::Tensor values_, scales_, offsets_;
};

}  // namespace

template <typename T>
std::unique_ptr<Linear> MakeAvx512Linear(const LinearWeights& weights, Activation activation,
                                         Registers registers) {
  return std::make_unique<Avx512Linear<T>>(weights, activation, registers);
}

template <typename T>
std::unique_ptr<Linear> MakeInt8Linear(const LinearWeights& weights, Activation activation,
                                       Registers registers) {
  return std::make_unique<Int8Linear<T>>(weights, activation, registers);
}

template std::unique_ptr<Linear> MakeAvx512Linear<float>(const LinearWeights&, Activation,
                                                         Registers);
template std::unique_ptr<Linear> MakeAvx512Linear<uint16_t>(const LinearWeights&, Activation,
                                                            Registers);
template std::unique_ptr<Linear> MakeInt8Linear<float>(const LinearWeights&, Activation, Registers);
template std::unique_ptr<Linear> MakeInt8Linear<uint16_t>(const LinearWeights&, Activation,
                                                          Registers);

}  // namespace hfwa::kernels
