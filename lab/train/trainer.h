#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model/weights.h"
#include "core/store/directory_lock.h"
#include "lab/data/data_set.h"
#include "lab/train/checkpoint.h"
#include "lab/train/csv_log.h"
#include "lab/train/event_log.h"
#include "lab/train/feature_source.h"
#include "lab/train/learner.h"
#include "lab/train/loader.h"
#include "lab/train/loss_values.h"
#include "lab/train/model_card.h"
#include "lab/train/optimizer.h"
#include "lab/train/options.h"
#include "lab/train/progress.h"
#include "lab/train/samples.h"
#include "lab/train/schedule.h"

namespace hfwa::lab::train {

// What an epoch came to.
struct EpochResult {
  int epoch = 0;
  LossValues losses;  // means over batches
  double learning_rate = 0;
  double seconds_per_image = 0;
  int64_t images = 0;           // that this process saw
  int64_t backbone_images = 0;  // of them, those that went through the backbone
};

// A training run from its options to a model directory:
//   config.json, the frozen files, merges   from the start (hard links where possible)
//   learned.safetensors or METHOD's         of the best epoch so far: the directory loads from then
//   MODEL_CARD.md                           at the end
//   training/checkpoint.safetensors         what `resume` goes on from
//   training/last.safetensors               learnt tensors of the last epoch, at the end
//   training/steps.csv, epochs.csv, events.out.tfevents.*
// On one device and number of threads a run repeats to the bit, also when it was killed and resumed
// in between.
class Trainer {
 public:
  // Reads everything and checks that the run can be made. `log` gets progress; `terminal`: it can
  // be drawn over.
  static absl::StatusOr<std::unique_ptr<Trainer>> Create(const TrainOptions& options,
                                                         std::ostream& log, bool terminal);
  absl::Status Run();

  const std::vector<EpochResult>& epochs() const { return epochs_; }

 private:
  Trainer(const TrainOptions& options, std::ostream& log, bool terminal)
      : options_(options), log_(log), progress_(log, terminal), stop_(options.early_stop) {}

  absl::Status Load();
  absl::Status LoadModel();
  // What the model directory has of other methods goes into the new one too.
  absl::Status TakeOtherLearnt();
  absl::Status LoadData();
  absl::Status MakeLearner();
  absl::Status MakeSamples();
  absl::Status OpenLogs();
  absl::Status Resume();
  // What a checkpoint must share with the run that goes on from it.
  nlohmann::json IdentityNow() const;
  absl::Status CheckIdentity(const nlohmann::json& state) const;
  absl::Status Save();

  absl::StatusOr<EpochResult> RunEpoch();
  // One batch: loss and gradients, and the update where the group is complete.
  absl::StatusOr<LossValues> RunBatch(std::vector<Sample> samples);
  // `losses` are those of the group's last batch, for the logs.
  absl::Status Update(const LossValues& losses);
  absl::Status EndEpoch(const EpochResult& result);
  absl::Status Finish();
  // The written model on a set.
  absl::StatusOr<CardMetrics> Measure(const std::string& data) const;
  // Batches of the group that `batch_` is in.
  int64_t GroupSize() const;
  std::string TrainingPath(const std::string& name) const;

  const TrainOptions options_;
  std::ostream& log_;
  Progress progress_;
  at::Device device_ = at::kCPU;

  std::unique_ptr<store::DirectoryLock> lock_;
  model::FrozenModel frozen_;  // its weights are dropped once loaded
  std::string config_json_;    // of the new model
  model::ModelConfig config_;
  DataSet data_;
  std::string data_digest_;
  std::unique_ptr<FeatureSource> features_;  // null where the tower is differentiated
  std::unique_ptr<Samples> samples_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<Learner> learner_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Schedule> schedule_;
  EarlyStop stop_;
  CsvLog steps_csv_, epochs_csv_;
  EventLog events_;

  // Where the run is: the batch that comes next, and sums over the epoch's batches so far.
  int epoch_ = 0;
  int64_t batch_ = 0;
  LossValues sums_;
  std::vector<EpochResult> epochs_;
};

}  // namespace hfwa::lab::train
