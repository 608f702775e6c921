#include "lab/eval/features.h"

#include <utility>

#include <ATen/ATen.h>

#include "core/base/status_macros.h"

namespace hfwa::lab {

FeatureStore::FeatureStore(size_t bytes_max, std::string scratch)
    : bytes_max_(bytes_max), scratch_(std::move(scratch)) {}

absl::StatusOr<size_t> FeatureStore::Add(Features features) {
  Entry entry;
  const size_t bytes = features.tokens.nbytes();
  entry.features = std::move(features);
  if (bytes_ + bytes <= bytes_max_) {
    bytes_ += bytes;
  } else {
    if (!file_.has_value()) {
      HFWA_ASSIGN_OR_RETURN(ScratchFile file, ScratchFile::Create(scratch_));
      file_.emplace(std::move(file));
    }
    const at::Tensor tokens = entry.features.tokens.contiguous();
    entry.shape = tokens.sizes().vec();
    entry.offset = file_->size();
    HFWA_RETURN_IF_ERROR(file_->Append(tokens.const_data_ptr<float>(), bytes));
    entry.features.tokens = at::Tensor();
  }
  entries_.push_back(std::move(entry));
  return entries_.size() - 1;
}

absl::StatusOr<Features> FeatureStore::Get(size_t number) const {
  const Entry& entry = entries_[number];
  Features features = entry.features;
  if (!features.tokens.defined()) {
    features.tokens = at::empty(entry.shape, at::kFloat);
    HFWA_RETURN_IF_ERROR(
        file_->Read(entry.offset, features.tokens.data_ptr<float>(), features.tokens.nbytes()));
  }
  return features;
}

absl::StatusOr<Features> Encode(const model::Hfwa& hfwa, const at::Tensor& image,
                                const std::string& class_name) {
  const std::vector<int> classes = {hfwa.ClassIndex(class_name)};
  HFWA_ASSIGN_OR_RETURN(const model::ForwardResult result, hfwa.Forward(image, classes));
  Features features;
  features.tokens = result.tokens[0].to(at::kCPU, at::kFloat).contiguous();
  if (result.text_probs.defined()) {
    features.probability = result.text_probs[0][1].item<float>();
    features.language_diff = result.language_diff[0].to(at::kCPU, at::kFloat).contiguous();
  }
  return features;
}

}  // namespace hfwa::lab
