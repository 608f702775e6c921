#pragma once

// Features of reference images on disk: a cache, keyed by image hash and model fingerprint, checked
// on load (design promise 2). Losing it costs time, never data.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/store/file_budget.h"

namespace hfwa::store {

// Thread-safe, between processes too: a file appears whole or not at all. The budget counts what
// was there at the start and what this one writes.
class FeatureCache {
 public:
  // Files live in directory/FINGERPRINT/ab/cdef…; `fingerprint` is reduced to a safe name by
  // hashing. All that is in `directory` is kept within `bytes_max`: other fingerprints' files go
  // first, then the least recently used; also across restarts, by the files' times.
  FeatureCache(const std::string& directory, const std::string& fingerprint,
               int64_t bytes_max = std::numeric_limits<int64_t>::max());

  // Writes atomically (temporary name, rename; no fsync: the checksum guards). `header` is a short
  // text such as the tensor's shape, compared on load.
  absl::Status Put(const std::string& image_sha256, const std::string& header,
                   absl::Span<const float> values);
  // NOT_FOUND when absent; DATA_LOSS, and the file is removed, when it is damaged, of another image
  // or fingerprint, or of another header or count. Reads no more bytes than `header` and `count`
  // say.
  absl::StatusOr<std::vector<float>> Get(const std::string& image_sha256, const std::string& header,
                                         size_t count) const;
  void Remove(const std::string& image_sha256);

  // Of all files in the directory.
  int64_t bytes() const { return budget_.bytes(); }

 private:
  std::string PathOf(const std::string& image_sha256) const;
  void Count(const std::string& path, int64_t bytes);
  // Counts what is there.
  void Load();

  const std::string directory_;
  mutable FileBudget budget_;
};

}  // namespace hfwa::store
