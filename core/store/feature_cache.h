#pragma once

// Features of reference images on disk: a cache, keyed by image hash and model fingerprint, checked
// on load (design promise 2). Losing it costs time, never data.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace hfwa::store {

class FeatureCache {
 public:
  // Files live in directory/FINGERPRINT/ab/cdef…; `fingerprint` is reduced to a safe name by
  // hashing.
  FeatureCache(std::string directory, std::string fingerprint);

  // Writes atomically (temporary name, rename; no fsync: the checksum guards). `header` is a short
  // text such as the tensor's shape, compared on load.
  absl::Status Put(const std::string& image_sha256, const std::string& header,
                   absl::Span<const float> values);
  // NOT_FOUND when absent, DATA_LOSS when damaged (and the file is removed) or of another header or
  // size.
  absl::StatusOr<std::vector<float>> Get(const std::string& image_sha256, const std::string& header,
                                         size_t count) const;
  void Remove(const std::string& image_sha256);

 private:
  const std::string directory_;
};

}  // namespace hfwa::store
