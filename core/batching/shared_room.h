#pragma once

#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"

namespace hfwa::batching {

// A bounded room, in items and bytes, that nobody can fill up alone: a holder is let in while it
// holds less than kFreeFactor times what is still free. One alone gets four fifths of the room, and
// whoever comes then finds the rest, of which it gets four fifths. Not thread-safe.
class SharedRoom {
 public:
  using Holder = std::pair<int, uint64_t>;  // lane, product
  static constexpr int kFreeFactor = 4;

  SharedRoom(int items_max, int64_t bytes_max) : items_max_(items_max), bytes_max_(bytes_max) {}

  // Takes one item in. `part` is how much of the room the holder's kind may see filled, 0 to 1:
  // what can wait leaves the rest to what can't. RESOURCE_EXHAUSTED says which bound was met.
  absl::Status Take(Holder holder, int64_t bytes, double part = 1);
  void Give(Holder holder, int64_t bytes);

  // More bytes for an item that is in, and less; without regard to shares.
  absl::Status TakeBytes(Holder holder, int64_t bytes);
  void GiveBytes(Holder holder, int64_t bytes);

  int items() const { return held_.items; }
  int64_t bytes() const { return held_.bytes; }

 private:
  struct Held {
    int items = 0;
    int64_t bytes = 0;
  };

  const int items_max_;
  const int64_t bytes_max_;
  Held held_;
  absl::flat_hash_map<Holder, Held> holders_;
};

}  // namespace hfwa::batching
