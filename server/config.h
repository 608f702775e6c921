#pragma once

// What the server is told, after flags, environment, file and defaults are merged (settings.h).

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace hfwa::server {

struct ServerConfig {
  std::string config;  // TOML file; empty: none
  std::string listen;
  std::string metrics_listen;  // empty: no metrics
  std::string model;
  std::string data;
  std::string device;
  std::string precision;
  bool cuda_graphs = true;
  int threads = 0;         // 0: one per processor that may be used
  int numa_node = -1;      // -1: all
  int decode_threads = 0;  // 0: as many as `threads`
  int64_t max_image_bytes = 0;
  int64_t max_image_pixels = 0;
  int max_image_side = 0;
  int max_jpeg_scans = 0;
  int max_references = 0;
  int queue_images = 0;
  int64_t queue_bytes = 0;
  absl::Duration queue_wait_max;  // zero: not bounded
  int max_batch = 0;
  int64_t bank_cache_bytes = 0;
  int64_t feature_cache_bytes = 0;
  std::string grey16;            // "scale" or "clip"
  std::string exif_orientation;  // "apply" or "ignore"
  std::string log_level;
  absl::Duration idle_timeout;
  absl::Duration keepalive_time;
  absl::Duration keepalive_timeout;
  absl::Duration drain_grace;
  absl::Duration drain_timeout;
  bool reflection = true;
};

// Beyond an image a message holds names, labels and framing.
inline constexpr int64_t kMessageOverhead = 64 * 1024;
// What is kept back from the drain timeout for ending the metrics exposer and the engine.
inline constexpr absl::Duration kDrainReserve = absl::Seconds(3);

}  // namespace hfwa::server
