#pragma once

#include <string>

#include "client/bench/report.h"

namespace hfwa::bench {

// One HTML page that needs nothing else: figures and, as inline SVG, latency by percentile and over
// time, replies by second and the server's stages.
std::string ToHtml(const Report& report);

}  // namespace hfwa::bench
