#pragma once

// Matching, maps and colours of a whole batch, on the device, where its kernels can
// (core/kernels/epilogue.h).

#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "core/bank/bank.h"
#include "core/image/image.h"
#include "core/image/render.h"
#include "core/model/hfwa.h"

namespace hfwa::engine {

// What one image wants.
struct FinishRequest {
  bool wanted = false;                     // false: tokens and language difference alone
  std::shared_ptr<const bank::Bank> bank;  // null: zero-shot
  bool values = false;                     // the map's values
  bool coloured = false;                   // the map in false colours over low..high
  float low = 0;
  float high = 1;
};

// On the host.
struct FinishedMap {
  float maximum = 0;
  image::FloatMap values;  // empty unless asked for
  image::Image coloured;   // likewise
};

// True if the model's kernels finish batches.
bool CanFinish(const model::Hfwa& model);

// One entry an image, empty where it was not wanted. Waits for the device once. LibTorch's
// exceptions pass through.
std::vector<FinishedMap> FinishBatch(const model::Hfwa& model, const model::ForwardResult& forward,
                                     absl::Span<const FinishRequest> requests);

}  // namespace hfwa::engine
