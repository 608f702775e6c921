#pragma once

// What the model and further views make of each image, once for all methods, draws and numbers of
// references.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model/hfwa.h"
#include "lab/metrics/scratch_file.h"

namespace hfwa::lab {

// Of one image; fp32 on the CPU. n levels, grid g, L = g * g patches, embedding E.
struct Features {
  // By the model's forward pass; undefined where no method asked for it.
  at::Tensor tokens;                          // [n, L, E], L2-normalised
  at::Tensor language_diff;                   // [n, g, g]; undefined without language side
  std::optional<float> probability;           // of a defect, by language
  std::map<std::string, at::Tensor> views{};  // by the view's name
};

// Tokens and views are kept in memory up to a limit, then in a file without a name. Not
// thread-safe.
class FeatureStore {
 public:
  // `scratch`: the folder of the file, see ScratchFile::Create.
  FeatureStore(size_t bytes_max, std::string scratch);

  // The number of what was put in: 0, 1, ... Errors of the file.
  absl::StatusOr<size_t> Add(Features features);
  absl::StatusOr<Features> Get(size_t number) const;

 private:
  // A tensor here or in the file.
  struct Kept {
    at::Tensor tensor;
    std::vector<int64_t> shape;
    uint64_t offset = 0;
  };
  struct Entry {
    Features features;  // without what is kept beside it
    Kept tokens;
    std::map<std::string, Kept> views;
  };
  absl::StatusOr<Kept> Keep(const at::Tensor& tensor);
  absl::StatusOr<at::Tensor> Read(const Kept& kept) const;

  const size_t bytes_max_;
  const std::string scratch_;
  size_t bytes_ = 0;
  std::vector<Entry> entries_;
  std::optional<ScratchFile> file_;
};

// One image [1, 3, S, S] through the model.
absl::StatusOr<Features> Encode(const model::Hfwa& hfwa, const at::Tensor& image,
                                const std::string& class_name);

}  // namespace hfwa::lab
