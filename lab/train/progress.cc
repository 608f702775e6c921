#include "lab/train/progress.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"

namespace hfwa::lab::train {
namespace {

constexpr int kBarWidth = 20;
constexpr absl::Duration kTerminalPause = absl::Milliseconds(200);
constexpr absl::Duration kFilePause = absl::Seconds(30);

std::string Left(double seconds) {
  const int64_t whole = std::llround(seconds);
  if (whole >= 3600) return absl::StrFormat("%d:%02d h", whole / 3600, whole / 60 % 60);
  return absl::StrFormat("%d:%02d", whole / 60, whole % 60);
}

}  // namespace

void Progress::Start(int epoch, int epochs, int64_t images, int64_t done,
                     std::vector<std::string> loss_parts) {
  loss_parts_ = std::move(loss_parts);
  epoch_ = epoch;
  epochs_ = epochs;
  images_ = images;
  first_ = done_ = done;
  start_ = drawn_ = clock_.SteadyNow();
}

void Progress::Advance(int64_t images, const LossValues& losses) {
  done_ += images;
  const absl::Duration now = clock_.SteadyNow();
  if (now - drawn_ < (terminal_ ? kTerminalPause : kFilePause)) return;
  drawn_ = now;
  const std::string line = Line(losses, now);
  out_ << (terminal_ ? "\r" + line + "\x1b[K" : line + "\n") << std::flush;
}

void Progress::Finish(const std::string& summary) {
  out_ << (terminal_ ? "\r\x1b[K" : "") << summary << "\n" << std::flush;
}

std::string Progress::Line(const LossValues& losses, absl::Duration now) const {
  const double seconds = std::max(1e-9, absl::ToDoubleSeconds(now - start_));
  const double rate = static_cast<double>(done_ - first_) / seconds;
  // Of the epochs that follow too.
  const auto left = static_cast<double>(images_ - done_ + int64_t{epochs_ - epoch_ - 1} * images_);
  const auto filled = static_cast<size_t>(kBarWidth * done_ / std::max<int64_t>(1, images_));
  return absl::StrFormat("epoch %d/%d [%s%s] %d/%d  %s  %.2f images/s  %s left", epoch_ + 1,
                         epochs_, std::string(filled, '#'), std::string(kBarWidth - filled, '.'),
                         done_, images_, ToText(losses, loss_parts_, 4), rate,
                         Left(left / std::max(rate, 1e-9)));
}

}  // namespace hfwa::lab::train
