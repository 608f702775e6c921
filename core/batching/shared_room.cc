#include "core/batching/shared_room.h"

#include <cmath>

namespace hfwa::batching {

namespace {

absl::Status NoBytes() {
  return absl::ResourceExhaustedError("the images that wait hold too many bytes");
}

}  // namespace

absl::Status SharedRoom::Take(Holder holder, int64_t bytes, double part) {
  const int items_free = static_cast<int>(std::ceil(part * items_max_)) - held_.items;
  if (items_free <= 0) return absl::ResourceExhaustedError("too many images wait");
  const int64_t bytes_free = bytes_max_ - held_.bytes;
  if (bytes > bytes_free) return NoBytes();
  const auto found = holders_.find(holder);
  const Held own = found == holders_.end() ? Held{} : found->second;
  if (own.items >= kFreeFactor * static_cast<int64_t>(items_free) ||
      own.bytes / kFreeFactor > bytes_free) {
    return absl::ResourceExhaustedError("too many images of this product wait");
  }
  Held& held = found == holders_.end() ? holders_[holder] : found->second;
  ++held.items;
  held.bytes += bytes;
  ++held_.items;
  held_.bytes += bytes;
  return absl::OkStatus();
}

void SharedRoom::Give(Holder holder, int64_t bytes) {
  const auto found = holders_.find(holder);
  --held_.items;
  held_.bytes -= bytes;
  found->second.bytes -= bytes;
  if (--found->second.items == 0) holders_.erase(found);
}

absl::Status SharedRoom::TakeBytes(Holder holder, int64_t bytes) {
  if (bytes > bytes_max_ - held_.bytes) return NoBytes();
  holders_.find(holder)->second.bytes += bytes;
  held_.bytes += bytes;
  return absl::OkStatus();
}

void SharedRoom::GiveBytes(Holder holder, int64_t bytes) {
  holders_.find(holder)->second.bytes -= bytes;
  held_.bytes -= bytes;
}

}  // namespace hfwa::batching
