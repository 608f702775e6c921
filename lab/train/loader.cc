#include "lab/train/loader.h"

#include <algorithm>
#include <utility>

#include "core/base/status_macros.h"
#include "core/model/torch_errors.h"

namespace hfwa::lab::train {

Loader::Loader(const Samples& samples, int64_t batch, int threads, int batches_ahead)
    : samples_(samples),
      batch_(batch),
      ahead_(batch * (batches_ahead + 1)),
      // Samples of an epoch that was left may still wait.
      pool_("loader", threads, static_cast<size_t>(4 * ahead_)) {}

void Loader::Start(int epoch, int64_t first_batch) {
  epoch_ = epoch;
  order_ = samples_.Order(epoch);
  next_taken_ = next_made_ = std::min(first_batch * batch_, samples_.size());
  slots_.clear();
  Fill();
}

void Loader::Fill() {
  const int64_t end = std::min(next_taken_ + ahead_, samples_.size());
  for (; next_made_ < end; ++next_made_) {
    auto slot = std::make_shared<Slot>();
    const auto make = [this, slot, epoch = epoch_, place = next_made_,
                       item = order_[static_cast<size_t>(next_made_)]] {
      absl::StatusOr<Sample> sample =
          model::CatchTorchErrors([&] { return samples_.Make(epoch, place, item); });
      const absl::MutexLock lock(&slot->mu);
      slot->sample = std::move(sample);
      slot->done = true;
    };
    if (!pool_.Submit(make).ok()) make();
    slots_.push_back(std::move(slot));
  }
}

absl::StatusOr<std::vector<Sample>> Loader::Next() {
  std::vector<Sample> batch;
  const int64_t end = std::min(next_taken_ + batch_, samples_.size());
  for (; next_taken_ < end; ++next_taken_) {
    const std::shared_ptr<Slot> slot = slots_.front();
    slots_.pop_front();
    const absl::MutexLock lock(&slot->mu);
    slot->mu.Await(absl::Condition(&slot->done));
    HFWA_RETURN_IF_ERROR(slot->sample.status());
    batch.push_back(*std::move(slot->sample));
  }
  Fill();
  return batch;
}

}  // namespace hfwa::lab::train
