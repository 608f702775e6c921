#include "lab/eval/features.h"

#include <utility>

#include <ATen/ATen.h>

#include "core/base/status_macros.h"

namespace hfwa::lab {

FeatureStore::FeatureStore(size_t bytes_max, std::string scratch)
    : bytes_max_(bytes_max), scratch_(std::move(scratch)) {}

absl::StatusOr<size_t> FeatureStore::Add(Features features) {
  Entry entry;
  HFWA_ASSIGN_OR_RETURN(entry.tokens, Keep(features.tokens));
  for (const auto& [name, tensor] : features.views) {
    HFWA_ASSIGN_OR_RETURN(entry.views[name], Keep(tensor));
  }
  features.tokens = at::Tensor();
  features.views.clear();
  entry.features = std::move(features);
  entries_.push_back(std::move(entry));
  return entries_.size() - 1;
}

absl::StatusOr<FeatureStore::Kept> FeatureStore::Keep(const at::Tensor& tensor) {
  const size_t bytes = tensor.defined() ? tensor.nbytes() : 0;
  if (bytes_ + bytes <= bytes_max_) {
    bytes_ += bytes;
    return Kept{.tensor = tensor, .shape = {}, .offset = 0};
  }
  if (!file_.has_value()) {
    HFWA_ASSIGN_OR_RETURN(ScratchFile file, ScratchFile::Create(scratch_));
    file_.emplace(std::move(file));
  }
  const at::Tensor values = tensor.contiguous();
  Kept kept = {.tensor = {}, .shape = values.sizes().vec(), .offset = file_->size()};
  HFWA_RETURN_IF_ERROR(file_->Append(values.const_data_ptr<float>(), bytes));
  return kept;
}

absl::StatusOr<Features> FeatureStore::Get(size_t number) const {
  const Entry& entry = entries_[number];
  Features features = entry.features;
  HFWA_ASSIGN_OR_RETURN(features.tokens, Read(entry.tokens));
  for (const auto& [name, kept] : entry.views) {
    HFWA_ASSIGN_OR_RETURN(features.views[name], Read(kept));
  }
  return features;
}

absl::StatusOr<at::Tensor> FeatureStore::Read(const Kept& kept) const {
  if (kept.shape.empty()) return kept.tensor;
  at::Tensor tensor = at::empty(kept.shape, at::kFloat);
  HFWA_RETURN_IF_ERROR(file_->Read(kept.offset, tensor.data_ptr<float>(), tensor.nbytes()));
  return tensor;
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
