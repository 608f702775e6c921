#include "core/model/torch_errors.h"

namespace hfwa::model {

absl::Status StatusFromException(const std::exception& error) {
  if (const auto* torch_error = dynamic_cast<const c10::Error*>(&error)) {
    const std::string message = torch_error->what_without_backtrace();
    // The CPU allocator has no exception type of its own.
    const bool memory = dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
                        message.find("DefaultCPUAllocator") != std::string::npos;
    return memory ? absl::ResourceExhaustedError(message) : absl::InternalError(message);
  }
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
    return absl::ResourceExhaustedError("out of memory");
  }
  return absl::InternalError(error.what());
}

}  // namespace hfwa::model
