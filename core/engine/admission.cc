#include "core/engine/admission.h"

#include "core/base/status_macros.h"
#include "core/engine/engine.h"

namespace hfwa::engine {

using batching::SharedRoom;

namespace {

absl::Status Draining() {
  return Annotate(absl::UnavailableError("the server is draining"), "DRAINING", {},
                  absl::Seconds(1));
}

}  // namespace

Admission::Place::~Place() {
  absl::MutexLock lock(&admission_->mu_);
  admission_->room_.Give(holder_, bytes_);
  if (coming_) --admission_->Coming(holder_);
  admission_->freed_.SignalAll();
}

absl::Status Admission::Place::Hold(int64_t bytes) {
  absl::MutexLock lock(&admission_->mu_);
  HFWA_RETURN_IF_ERROR(admission_->room_.TakeBytes(holder_, bytes));
  bytes_ += bytes;
  return absl::OkStatus();
}

void Admission::Place::Release(int64_t bytes) {
  absl::MutexLock lock(&admission_->mu_);
  admission_->room_.GiveBytes(holder_, bytes);
  bytes_ -= bytes;
  admission_->freed_.SignalAll();
}

void Admission::Place::Arrived() {
  absl::MutexLock lock(&admission_->mu_);
  if (coming_) --admission_->Coming(holder_);
  coming_ = false;
}

absl::Status Admission::TakeRoom(const Request& request) {
  // Registrations that have begun are finished.
  if (draining_ && request.lane != batching::Lane::kRegister) return Draining();
  const SharedRoom::Holder holder = {static_cast<int>(request.lane), request.product};
  HFWA_RETURN_IF_ERROR(encoder_->WouldAdmit({.lane = request.lane,
                                             .product = request.product,
                                             .deadline = request.deadline,
                                             .bytes = 0,
                                             .alone = false,
                                             .promised = false},
                                            Coming(holder)));
  HFWA_RETURN_IF_ERROR(room_.Take(holder, request.bytes, batching::PartOfRoom(request.lane)));
  ++Coming(holder);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Admission::Place>> Admission::Take(const Request& request) {
  return TakeWaiting(request, absl::ZeroDuration());
}

absl::StatusOr<std::unique_ptr<Admission::Place>> Admission::TakeWaiting(const Request& request,
                                                                         absl::Duration patience) {
  absl::MutexLock lock(&mu_);
  absl::Status taken = TakeRoom(request);
  const absl::Time end = absl::Now() + patience;
  while (absl::IsResourceExhausted(taken) && patience > absl::ZeroDuration()) {
    if (freed_.WaitWithDeadline(&mu_, end)) break;
    taken = TakeRoom(request);
  }
  HFWA_RETURN_IF_ERROR(taken);
  const SharedRoom::Holder holder = {static_cast<int>(request.lane), request.product};
  return std::unique_ptr<Place>(new Place(this, holder, request.bytes));
}

void Admission::Drain(absl::Duration timeout) {
  absl::MutexLock lock(&mu_);
  draining_ = true;
  const auto empty = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return room_.items() == 0; };
  mu_.AwaitWithTimeout(absl::Condition(&empty), timeout);
}

absl::Status Admission::draining() const {
  absl::MutexLock lock(&mu_);
  return draining_ ? Draining() : absl::OkStatus();
}

int64_t Admission::bytes() const {
  absl::MutexLock lock(&mu_);
  return room_.bytes();
}

}  // namespace hfwa::engine
