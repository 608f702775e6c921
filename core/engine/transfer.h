#pragma once

// Copies between the host and a GPU that go on beside the GPU's work. On the CPU nothing is copied.

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

namespace hfwa::engine {

// A tensor on its way to the device.
struct Uploaded {
  at::Tensor values;
  std::shared_ptr<c10::Event> arrived;  // null where there is nothing to wait for
};

// Copies by a stream of its own. Thread-safe.
class Uploader {
 public:
  explicit Uploader(at::Device device);

  // Starts to copy, through pinned memory; returns at once. The tensor itself where the device is
  // the CPU, or has no memory left (who uses it copies it then).
  Uploaded Upload(const at::Tensor& values) const;

 private:
  const at::Device device_;
  std::unique_ptr<const c10::Stream> stream_;  // null on the CPU
};

// Makes this thread's current stream wait for what was uploaded, before work that uses it is
// queued.
void Await(const Uploaded& uploaded);

// Copies to pinned host memory, all at once, and waits for that one time.
std::vector<at::Tensor> Download(const std::vector<at::Tensor>& tensors);

// Waits for what this thread has queued.
void Synchronize(at::Device device);

}  // namespace hfwa::engine
