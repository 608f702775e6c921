// libhfwa_cuda_graph.so: LibTorch's CUDA graphs behind core/kernels/graph.h. Apart from the
// program, since it names symbols of libtorch_cuda.so, which is loaded before it.

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "core/kernels/graph.h"

namespace hfwa::kernels::cuda {
namespace {

class CudaGraph final : public Graph {
 public:
  explicit CudaGraph(c10::DeviceIndex device) : device_(device) {}

  void Capture(const std::function<void()>& work) override {
    const c10::cuda::CUDAGuard guard(device_);
    const c10::cuda::CUDAStream before = c10::cuda::getCurrentCUDAStream(device_);
    const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool(false, device_);
    before.synchronize();  // what the work reads is there
    const c10::cuda::CUDAStreamGuard on_stream(stream);
    // Other threads go on using the device meanwhile.
    graph_.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      try {
        graph_.capture_end();
      } catch (const std::exception&) {  // the first error is the one to tell
      }
      throw;
    }
    graph_.capture_end();
  }

  void Replay() override {
    const c10::cuda::CUDAGuard guard(device_);
    graph_.replay();
  }

 private:
  const c10::DeviceIndex device_;
  at::cuda::CUDAGraph graph_;
};

}  // namespace

extern "C" __attribute__((visibility("default"))) Graph* HfwaMakeCudaGraph(int device) {
  return new CudaGraph(static_cast<c10::DeviceIndex>(device));
}

}  // namespace hfwa::kernels::cuda
