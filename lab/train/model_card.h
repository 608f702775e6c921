#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/model/config.h"
#include "lab/data/data_set.h"
#include "lab/train/options.h"

namespace hfwa::lab::train {

struct EpochResult;

// Of one set: its images judged without references.
struct CardMetrics {
  std::string data;
  std::vector<std::pair<std::string, std::string>> values;  // in percent, means over classes
};

struct CardFacts {
  std::string digest;         // of the new model, as the server reports it
  std::string frozen_digest;  // of the frozen files
  std::string data_digest;    // of the data set's listing
  int64_t images = 0;
  int64_t anomalous = 0;
  int64_t without_mask = 0;
  std::vector<std::string> loss_parts;  // their names
  int best_epoch = 0;
  std::vector<CardMetrics> metrics;
};

// MODEL_CARD.md: what the model is, on what and how it was trained.
std::string ModelCard(const TrainOptions& options, const model::ModelConfig& config,
                      const DataSet& data, const CardFacts& facts,
                      const std::vector<EpochResult>& epochs);

}  // namespace hfwa::lab::train
