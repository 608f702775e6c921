#pragma once

#include <memory>
#include <sstream>

#include "absl/status/statusor.h"
#include "lab/train/trainer.h"

namespace hfwa::lab::train {

// A whole run that says nothing.
inline absl::StatusOr<std::unique_ptr<Trainer>> RunTrainer(const TrainOptions& options) {
  std::ostringstream log;
  auto trainer = Trainer::Create(options, log, /*terminal=*/false);
  if (!trainer.ok()) return trainer.status();
  const absl::Status status = (*trainer)->Run();
  if (!status.ok()) return status;
  return trainer;
}

}  // namespace hfwa::lab::train
