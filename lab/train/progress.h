#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "absl/time/time.h"
#include "core/base/clock.h"

namespace hfwa::lab::train {

// Losses of an epoch so far or of one batch.
struct LossValues {
  double total = 0;
  double ce = 0;
  double focal = 0;
  double dice = 0;
};

// One line that is drawn over itself on a terminal; elsewhere a line now and then.
class Progress {
 public:
  Progress(std::ostream& out, bool terminal, const Clock& clock = Clock::Real())
      : out_(out), terminal_(terminal), clock_(clock) {}

  void Start(int epoch, int epochs, int64_t images, int64_t done);
  void Advance(int64_t images, const LossValues& losses);
  // Ends the line and prints `summary` in its place.
  void Finish(const std::string& summary);

 private:
  std::string Line(const LossValues& losses, absl::Duration now) const;

  std::ostream& out_;
  const bool terminal_;
  const Clock& clock_;
  int epoch_ = 0, epochs_ = 0;
  int64_t images_ = 0, first_ = 0, done_ = 0;
  absl::Duration start_, drawn_;
};

}  // namespace hfwa::lab::train
