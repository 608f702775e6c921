#include "core/engine/transfer.h"

#include <ATen/ATen.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

namespace hfwa::engine {
namespace {

at::Tensor Pinned(const at::Tensor& like) {
  return at::empty(like.sizes(), at::TensorOptions().dtype(like.dtype()).pinned_memory(true));
}

c10::Stream CurrentStream(at::Device device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device);
}

}  // namespace

Uploader::Uploader(at::Device device) : device_(device) {
  if (device.is_cpu()) return;
  stream_ = std::make_unique<const c10::Stream>(
      c10::impl::VirtualGuardImpl(device.type()).getNewStream(device));
}

Uploaded Uploader::Upload(const at::Tensor& values) const {
  if (stream_ == nullptr || !values.is_cpu()) return {values, nullptr};
  try {
    const at::Tensor staged = Pinned(values);
    staged.copy_(values);
    // Memory of this stream's own, so that it is not that of work still queued on another.
    const c10::StreamGuard guard(*stream_);
    const at::Tensor there = staged.to(device_, /*non_blocking=*/true);
    auto arrived = std::make_shared<c10::Event>(device_.type());
    arrived->record(*stream_);
    return {there, std::move(arrived)};
  } catch (const c10::OutOfMemoryError&) {
    return {values, nullptr};
  }
}

void Await(const Uploaded& uploaded) {
  if (uploaded.arrived == nullptr) return;
  const c10::Stream stream = CurrentStream(uploaded.values.device());
  uploaded.arrived->block(stream);
  uploaded.values.record_stream(stream);  // its memory stays until that stream has used it
}

std::vector<at::Tensor> Download(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> here;
  for (const at::Tensor& tensor : tensors) {
    if (!tensor.defined() || tensor.is_cpu()) {
      here.push_back(tensor.defined() ? tensor.contiguous() : tensor);
      continue;
    }
    here.push_back(Pinned(tensor));
    here.back().copy_(tensor, /*non_blocking=*/true);
  }
  for (const at::Tensor& tensor : tensors) {
    if (!tensor.defined() || tensor.is_cpu()) continue;
    Synchronize(tensor.device());
    break;
  }
  return here;
}

void Synchronize(at::Device device) {
  if (!device.is_cpu()) CurrentStream(device).synchronize();
}

}  // namespace hfwa::engine
