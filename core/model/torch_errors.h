#pragma once

// The boundary where LibTorch's exceptions become statuses.

#include <exception>
#include <new>
#include <string>
#include <type_traits>

#include <c10/util/Exception.h>

#include "absl/status/status.h"

namespace hfwa::model {

// Status of a caught exception: RESOURCE_EXHAUSTED when memory ran out, else INTERNAL. Never OK.
absl::Status StatusFromException(const std::exception& error);

// Runs `function` (which returns a Status or a StatusOr) and turns what it throws into its status.
template <typename Function>
std::invoke_result_t<Function> CatchTorchErrors(Function&& function) {
  try {
    return function();
  } catch (const std::exception& error) {
    return StatusFromException(error);
  }
}

}  // namespace hfwa::model
