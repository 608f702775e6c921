#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lab/train/losses.h"
#include "lab/train/optimizer.h"
#include "lab/train/samples.h"
#include "lab/train/schedule.h"
#include "lab/train/variant.h"

namespace hfwa::lab::train {

// What is learnt: HFWA itself, or what another method of lab/eval needs.
enum class TrainMethod { kHfwa, kInctrl };
inline constexpr TrainMethod kTrainMethods[] = {TrainMethod::kHfwa, TrainMethod::kInctrl};
const char* MethodName(TrainMethod method);  // as hfwa-eval has it
// In a model directory.
std::string LearntFile(TrainMethod method);

// A training run. Defaults are the paper's program's (training spec, section 1).
struct TrainOptions {
  std::string model;  // directory of the frozen CLIP; its learnt part, if any, is not used
  std::string data;   // as ReadDataSet takes it
  std::string out;    // the new model's directory
  std::vector<std::string> evaluate;  // sets to measure the new model on
  TrainMethod method = TrainMethod::kHfwa;
  VariantOptions variant;  // of HFWA alone
  LossOptions loss;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  SampleOptions samples;  // its seed is the run's
  // Anomalous images without a mask: true leaves their pixel losses out; false takes their masks as
  // empty, as the paper's program does.
  bool skip_missing_masks = false;
  int epochs = 1;
  int64_t batch = 8;
  int64_t accumulate = 1;  // batches whose gradients are averaged for one update
  int early_stop = 10;     // epochs without a new minimum; 0: never
  std::string device = "cpu";
  bool bf16 =
      false;  // linear maps in bf16; parameters, norms, cosines, softmax and losses stay fp32
  bool resume = false;             // go on from the output's checkpoint, if it has one
  int64_t checkpoint_steps = 100;  // updates between checkpoints; each epoch's end has one anyway
  std::string cache;               // folder of cached features; empty: none
  int64_t cache_bytes = int64_t{20} << 30;
  int loader_threads = 2;
  int batches_ahead = 2;
};

// What the method's publication has otherwise than the paper of HFWA. InCTRL: AdamW at 1e-3 with
// decay 0.01, batches of 48, 10 epochs, no mosaics, no masks, 2 references of each query.
TrainOptions DefaultsOf(TrainMethod method);

// What a resumed run must have been started with, for its checkpoint to make sense, by name.
nlohmann::json Identity(const TrainOptions& options);

}  // namespace hfwa::lab::train
