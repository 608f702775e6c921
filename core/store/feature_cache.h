#pragma once

// Features of reference images on disk: a cache, keyed by image hash and model fingerprint, checked
// on load (design promise 2). Losing it costs time, never data.

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace hfwa::store {

// Thread-safe, between processes too: a file appears whole or not at all.
class FeatureCache {
 public:
  // Files live in directory/FINGERPRINT/ab/cdef…; `fingerprint` is reduced to a safe name by
  // hashing.
  FeatureCache(const std::string& directory, const std::string& fingerprint);

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

 private:
  std::string PathOf(const std::string& image_sha256) const;

  const std::string directory_;
};

}  // namespace hfwa::store
