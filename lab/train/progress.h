#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/base/clock.h"
#include "lab/train/loss_values.h"

namespace hfwa::lab::train {

// One line that is drawn over itself on a terminal; elsewhere a line now and then.
class Progress {
 public:
  Progress(std::ostream& out, bool terminal, const Clock& clock = Clock::Real())
      : out_(out), terminal_(terminal), clock_(clock) {}

  // `loss_parts`: their names.
  void Start(int epoch, int epochs, int64_t images, int64_t done,
             std::vector<std::string> loss_parts);
  void Advance(int64_t images, const LossValues& losses);
  // Ends the line and prints `summary` in its place.
  void Finish(const std::string& summary);

 private:
  std::string Line(const LossValues& losses, absl::Duration now) const;

  std::ostream& out_;
  const bool terminal_;
  const Clock& clock_;
  std::vector<std::string> loss_parts_;
  int epoch_ = 0, epochs_ = 0;
  int64_t images_ = 0, first_ = 0, done_ = 0;
  absl::Duration start_, drawn_;
};

}  // namespace hfwa::lab::train
