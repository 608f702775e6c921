#pragma once

// Calling the CUDA module with tensors.

#include <cstdint>

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include "core/kernels/cuda/module_api.h"

namespace hfwa::kernels::cuda {

// The module's functions on one device, on LibTorch's current stream of it.
class Launcher {
 public:
  Launcher(const Api& api, at::Device device, at::ScalarType type)
      : api_(api), device_(device), type_(type == at::kHalf ? Type::kFp16 : Type::kBf16) {}

  // launch(api, type, stream) returns an error code.
  template <typename Launch>
  void Run(const Launch& launch) const {
    const c10::OptionalDeviceGuard guard(device_);
    void* stream = nullptr;
    if (!device_.is_cpu()) {
      stream = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_).native_handle();
    }
    const int error = launch(api_, type_, stream);
    TORCH_CHECK(error == 0, "CUDA error: ", api_.error_name(error));
  }

  at::Device device() const { return device_; }

 private:
  const Api& api_;
  const at::Device device_;
  const Type type_;
};

inline uint16_t* Bits(const at::Tensor& x) { return static_cast<uint16_t*>(x.mutable_data_ptr()); }
inline const uint16_t* ConstBits(const at::Tensor& x) {
  return static_cast<const uint16_t*>(x.const_data_ptr());
}

}  // namespace hfwa::kernels::cuda
