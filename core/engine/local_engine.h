#pragma once

// The engine in this process: one model, one device, one store.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/engine/engine.h"
#include "core/image/decode.h"
#include "core/store/store.h"

namespace hfwa::engine {

struct LocalEngineOptions {
  std::string model_directory;
  std::string data_directory;      // features are cached in its folder "cache"
  std::string device = "cpu";      // "cpu", "cuda", "cuda:N"
  std::string precision = "fp32";  // "fp32", "bf16", "fp16" or "auto": the fastest there is
  bool cuda_graphs = true;         // small batches on a GPU start as one piece, if that can be
  int compute_threads = 0;         // of a CPU forward pass; 0: one a core
  int decode_threads = 0;          // 0: one a core, at least 2
  int batch_max = 8;
  int queue_images = 256;             // in the engine at once, from admission to reply
  int64_t queue_bytes = 512ll << 20;  // that they hold: as sent, decoded, as tensors
  // Calls without a deadline that would wait longer than this are refused; infinite: only by the
  // two bounds above.
  absl::Duration queue_wait_max = absl::InfiniteDuration();
  int64_t bank_cache_bytes = 4ll << 30;      // banks in memory; the least recently used go first
  int64_t feature_cache_bytes = 64ll << 30;  // features on disk; likewise
  int references_max = 256;                  // per product
  image::DecodeOptions decode;
  absl::Duration hang_limit =
      absl::Seconds(60);  // a batch that takes longer makes the engine unhealthy
};

// Loads the model, warms it up and is ready to answer. INVALID_ARGUMENT or NOT_FOUND (model files),
// UNAVAILABLE (device). `observer` outlives the engine.
absl::StatusOr<std::unique_ptr<Engine>> CreateLocalEngine(const LocalEngineOptions& options,
                                                          std::unique_ptr<store::Store> store,
                                                          const Clock* clock, Observer* observer);

}  // namespace hfwa::engine
