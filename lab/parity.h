#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/model/hfwa.h"
#include "lab/report.h"

namespace hfwa::lab {

struct ParityOptions {
  model::Precision precision = model::Precision::kFp32;
  std::string device = "cpu";
  // Turns PyTorch's checkpoints into safetensors; such rows are skipped where it is absent.
  std::string converter = "scripts/convert-checkpoint";
};

// Compares this program with the fixtures in `folder`, which its files tell apart: forward passes
// (README of tests/parity), training, preprocessing, tokenizer, metrics, formats. An error means
// that the comparison could not be made.
absl::StatusOr<Report> RunParity(const std::string& folder, const ParityOptions& options);

// The parts, by kind of folder.
absl::StatusOr<Report> ForwardParity(const std::string& folder, const ParityOptions& options);
absl::StatusOr<Report> PreprocessParity(const std::string& folder);
absl::StatusOr<Report> TokenizerParity(const std::string& folder);
absl::StatusOr<Report> MetricsParity(const std::string& folder);
// Losses, gradients at step 0, parameters after 1 and 3 steps.
absl::StatusOr<Report> TrainParity(const std::string& folder);
absl::StatusOr<Report> FormatsParity(const std::string& folder, const std::string& converter);

}  // namespace hfwa::lab
