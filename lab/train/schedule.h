#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"

namespace hfwa::lab::train {

struct ScheduleOptions {
  enum class Kind {
    kPlateau,  // the reference (training spec 2.9): a tenth after `patience` epochs without
               // progress
    kConstant,
    kCosine,  // half a cosine from the learning rate to 0 over all updates
    kLinear,  // straight to 0 over all updates
  };
  Kind kind = Kind::kPlateau;
  double learning_rate = 1e-3;
  int64_t warmup_steps = 0;  // rising straight from 0 before anything else
  int patience = 5;          // epochs, of kPlateau
  double factor = 0.1;       // of kPlateau
};

// The learning rate of each update. The plateau rule compares epoch means: an epoch is better if it
// is below best * (1 - 1e-4).
class Schedule {
 public:
  // `total_steps`: updates of the whole run.
  Schedule(const ScheduleOptions& options, int64_t total_steps)
      : options_(options), total_steps_(total_steps) {}

  // Of update `step`, the first being 0.
  double LearningRate(int64_t step) const;
  void EndEpoch(double mean_loss);

  nlohmann::json State() const;
  // Throws JSON's exceptions.
  void Restore(const nlohmann::json& state);

 private:
  const ScheduleOptions options_;
  const int64_t total_steps_;
  double plateau_rate_ = -1.0;  // below 0: not lowered yet
  double best_ = 0.0;
  bool has_best_ = false;
  int bad_epochs_ = 0;
};

// Ends a run after `patience` epochs whose mean loss is no new minimum; 0: never.
class EarlyStop {
 public:
  explicit EarlyStop(int patience) : patience_(patience) {}
  // True if this epoch is the best so far.
  bool EndEpoch(int epoch, double mean_loss);
  bool stopped() const { return patience_ > 0 && bad_epochs_ >= patience_; }
  int best_epoch() const { return best_epoch_; }  // -1 before the first
  double best_loss() const { return best_loss_; }

  nlohmann::json State() const;
  void Restore(const nlohmann::json& state);

 private:
  const int patience_;
  int best_epoch_ = -1;
  double best_loss_ = 0.0;
  int bad_epochs_ = 0;
};

}  // namespace hfwa::lab::train
