#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "core/store/feature_cache.h"

namespace hfwa::lab::train {

// What the frozen tower gives for an image, on disk: CLIP does not change and images repeat, over
// epochs and over variants. Losing it costs time. Thread-safe.
class FeatureCache {
 public:
  // Keeps `values` floats an image in `directory`, at most `bytes_max` in all. `fingerprint`: the
  // frozen weights and whatever else the values depend on.
  FeatureCache(const std::string& directory, const std::string& fingerprint, int64_t values,
               int64_t bytes_max);

  // [values] fp32, undefined if it is not there.
  at::Tensor Get(const std::string& image_sha256) const;
  // Once what this run uses fills the budget nothing more is kept: dropping the oldest for the
  // newest would lose every image just before its next use. Failures are counted and forgotten.
  void Put(const std::string& image_sha256, const at::Tensor& features) const;

  int64_t hits() const { return hits_; }
  int64_t misses() const { return misses_; }
  int64_t kept() const { return kept_; }
  int64_t failures() const { return failures_; }

 private:
  const int64_t values_;
  const int64_t bytes_max_;
  const std::string header_;
  mutable store::FeatureCache files_;
  mutable absl::Mutex mu_;
  mutable absl::flat_hash_set<std::string> used_ ABSL_GUARDED_BY(mu_);
  mutable std::atomic<int64_t> hits_ = 0, misses_ = 0, kept_ = 0, failures_ = 0;
};

}  // namespace hfwa::lab::train
