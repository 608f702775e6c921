#pragma once

// Work on a GPU that is recorded once and then started as one piece.

#include <functional>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

namespace hfwa::kernels {

// LibTorch's exceptions pass through. One thread at a time.
class Graph {
 public:
  virtual ~Graph() = default;
  // Runs `work`, which must not wait for the device nor copy to or from pageable memory, and
  // records what it queues. Memory that `work` takes belongs to the graph: what tensors it leaves
  // hold the results of the last Replay.
  virtual void Capture(const std::function<void()>& work) = 0;
  // Queues what was recorded on the current stream.
  virtual void Replay() = 0;
};

// By LibTorch's CUDAGraph, so that its allocator knows whose memory is whose. Null where the module
// libhfwa_cuda_graph.so is not there; `why` says so then. Call it once a CUDA device is open.
std::unique_ptr<Graph> MakeGraph(at::Device device, std::string* why);

}  // namespace hfwa::kernels
