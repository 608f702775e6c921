#include "lab/train/feature_cache.h"

#include <vector>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"

namespace hfwa::lab::train {
namespace {

// Header, checksum and the like of a file.
constexpr int64_t kOverhead = 256;

}  // namespace

FeatureCache::FeatureCache(const std::string& directory, const std::string& fingerprint,
                           int64_t values, int64_t bytes_max)
    : values_(values),
      bytes_max_(bytes_max),
      header_(absl::StrCat("train/", values)),
      files_(directory, fingerprint, bytes_max) {}

at::Tensor FeatureCache::Get(const std::string& image_sha256) const {
  const auto values = files_.Get(image_sha256, header_, static_cast<size_t>(values_));
  if (!values.ok()) {
    ++misses_;
    return {};
  }
  ++hits_;
  const absl::MutexLock lock(&mu_);
  used_.insert(image_sha256);
  return at::tensor(*values, at::kFloat);
}

void FeatureCache::Put(const std::string& image_sha256, const at::Tensor& features) const {
  const int64_t bytes = values_ * static_cast<int64_t>(sizeof(float)) + kOverhead;
  {
    const absl::MutexLock lock(&mu_);
    if ((static_cast<int64_t>(used_.size()) + 1) * bytes > bytes_max_) return;
    used_.insert(image_sha256);
  }
  const at::Tensor rows = features.to(at::kCPU, at::kFloat).contiguous();
  const absl::Status put =
      files_.Put(image_sha256, header_,
                 absl::MakeConstSpan(rows.const_data_ptr<float>(), static_cast<size_t>(values_)));
  ++(put.ok() ? kept_ : failures_);
}

}  // namespace hfwa::lab::train
