#pragma once

#include <string_view>

#include <c10/core/Device.h>

#include "absl/status/statusor.h"

namespace hfwa::model {

// "cpu", "cuda" (the first GPU) or "cuda:N". For CUDA the library libtorch_cuda.so is loaded on
// first use: from beside libtorch_cpu.so, else from the loader's path; a CPU build needs none.
// UNAVAILABLE says what is missing (library, driver, GPU), INVALID_ARGUMENT that the name is none
// of these. Thread-safe.
absl::StatusOr<at::Device> OpenDevice(std::string_view name);

}  // namespace hfwa::model
