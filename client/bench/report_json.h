#pragma once

#include <string>

#include "client/bench/report.h"

namespace hfwa::bench {

// One JSON object on one line; docs/client.md lists its fields.
std::string ToJson(const Report& report);

}  // namespace hfwa::bench
