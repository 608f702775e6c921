// hfwa-server: the engine of this process behind the gRPC services.

#include <malloc.h>

#include "core/base/clock.h"
#include "core/base/status_macros.h"
#include "core/engine/local_engine.h"
#include "core/store/sqlite_store.h"
#include "server/run.h"

namespace hfwa::server {
namespace {

engine::LocalEngineOptions EngineOptionsOf(const ServerConfig& config) {
  engine::LocalEngineOptions options;
  options.model_directory = config.model;
  options.data_directory = config.data;
  options.device = config.device;
  options.precision = config.precision;
  options.cuda_graphs = config.cuda_graphs;
  options.compute_threads = config.threads;
  options.decode_threads = config.decode_threads > 0 ? config.decode_threads : config.threads;
  options.batch_max = config.max_batch;
  options.queue_images = config.queue_images;
  options.queue_bytes = config.queue_bytes;
  if (config.queue_wait_max > absl::ZeroDuration()) options.queue_wait_max = config.queue_wait_max;
  options.bank_cache_bytes = config.bank_cache_bytes;
  options.feature_cache_bytes = config.feature_cache_bytes;
  options.references_max = config.max_references;
  options.decode.limits.bytes_max = static_cast<size_t>(config.max_image_bytes);
  options.decode.limits.pixels_max = config.max_image_pixels;
  options.decode.limits.side_max = config.max_image_side;
  options.decode.limits.jpeg_scans_max = config.max_jpeg_scans;
  options.decode.apply_orientation = config.exif_orientation == "apply";
  options.decode.grey16 = config.grey16 == "scale" ? image::Grey16::kScale : image::Grey16::kClip;
  return options;
}

absl::StatusOr<std::unique_ptr<engine::Engine>> MakeEngine(const ServerConfig& config,
                                                           engine::Observer* observer) {
  // The store first: it is quick, and whether another server holds the data is known before a model
  // is loaded.
  HFWA_ASSIGN_OR_RETURN(auto store, store::OpenSqliteStore({.directory = config.data}));
  return engine::CreateLocalEngine(EngineOptionsOf(config), std::move(store), &Clock::Real(),
                                   observer);
}

}  // namespace
}  // namespace hfwa::server

int main(int argc, char** argv) {
  // Freed tensors stay mapped: fresh pages cost more than the arithmetic on them. Batches bound
  // what is kept.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
  return hfwa::server::RunServer(argc, argv, hfwa::server::MakeEngine);
}
