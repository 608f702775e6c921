#pragma once

// Arithmetic and memory traffic that operations cannot do without: what their times are held
// against. Products count two operations each; softmax, norms and activations count none.

#include <cstdint>

#include "core/model/config.h"

namespace hfwa::bench {

struct Work {
  double flops = 0;
  double bytes = 0;  // inputs, weights and results, each once

  Work& operator+=(const Work& other) {
    flops += other.flops;
    bytes += other.bytes;
    return *this;
  }
};

// Bytes of a value of activations and of weights.
struct Widths {
  double activation = 4;
  double weight = 4;
};

// [rows, in] times [in, out].
Work LinearWork(int64_t rows, int64_t in, int64_t out, Widths widths);

// Attention among `tokens` of each of `windows`, from projections of `parts` * width columns.
Work AttentionWork(int64_t windows, int64_t tokens, int64_t width, int64_t parts, Widths widths);

// Window attention of an adapter with its projections.
Work WindowsWork(const model::ModelConfig& config, Widths widths);

// One image through the model: towers, projections of the tapped tokens, adapters if `language`.
Work ForwardWork(const model::ModelConfig& config, bool language, Widths widths);

// One image's tokens against a bank of so many references.
Work MatchWork(const model::ModelConfig& config, int references, Widths widths);

}  // namespace hfwa::bench
