#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/kernels/graph.h"
#include "core/model/hfwa.h"

namespace hfwa::model {

// The forward pass by graphs, one for each size of batch (bucket): starting its hundreds of kernels
// one by one takes the host longer than the GPU needs for a few images. A batch goes into the
// smallest bucket that holds it; its last image fills the rest up. Larger batches than the largest
// bucket keep a GPU busy by themselves. One thread at a time.
class GraphedForward {
 public:
  static constexpr int kBuckets[] = {1, 2, 3, 4, 6, 8};

  using MakeGraph = std::function<std::unique_ptr<kernels::Graph>()>;

  // Records graphs up to the bucket that holds `batch_max`, the largest first, whose memory the
  // others do not share. `model` outlives this. RESOURCE_EXHAUSTED, INTERNAL: see Hfwa::Forward.
  static absl::StatusOr<std::unique_ptr<GraphedForward>> Create(const Hfwa& model, int batch_max,
                                                                const MakeGraph& make_graph);

  // Hfwa::Forward; batches beyond the largest bucket go there.
  absl::StatusOr<ForwardResult> Forward(const at::Tensor& images,
                                        absl::Span<const int> class_index);

 private:
  struct Bucket {
    std::unique_ptr<kernels::Graph> graph;
    at::Tensor images;      // [size, 3, S, S]: where Replay reads
    at::Tensor classes;     // [size] int64
    ForwardResult results;  // where Replay writes
  };

  explicit GraphedForward(const Hfwa& model) : model_(model) {}
  absl::Status Record(int size, const MakeGraph& make_graph);

  const Hfwa& model_;
  std::map<int, Bucket> buckets_;
};

}  // namespace hfwa::model
