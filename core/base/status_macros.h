#pragma once

// Early return on errors, for functions that return absl::Status or absl::StatusOr<T>.
//
//   HFWA_RETURN_IF_ERROR(file.Sync());
//   HFWA_ASSIGN_OR_RETURN(auto image, DecodeImage(bytes, options));

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define HFWA_RETURN_IF_ERROR(expression)         \
  do {                                           \
    ::absl::Status hfwa_status_ = (expression);  \
    if (!hfwa_status_.ok()) return hfwa_status_; \
  } while (false)

#define HFWA_MACRO_CONCAT_INNER(a, b) a##b
#define HFWA_MACRO_CONCAT(a, b) HFWA_MACRO_CONCAT_INNER(a, b)

#define HFWA_ASSIGN_OR_RETURN(lhs, expression) \
  HFWA_ASSIGN_OR_RETURN_IMPL(HFWA_MACRO_CONCAT(hfwa_statusor_, __LINE__), lhs, expression)

#define HFWA_ASSIGN_OR_RETURN_IMPL(name, lhs, expression) \
  auto name = (expression);                               \
  if (!name.ok()) return std::move(name).status();        \
  lhs = std::move(name).value()
