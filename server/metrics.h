#pragma once

// What Prometheus sees. No product in any label: their number has no bound. Thread-safe.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/engine/engine.h"
#include "core/engine/observer.h"

namespace prometheus {
class Collectable;
class Counter;
template <typename T>
class Family;
class Gauge;
class Histogram;
class Registry;
}  // namespace prometheus

namespace hfwa::server {

class Metrics final : public engine::Observer {
 public:
  Metrics();
  ~Metrics() override;

  void OnStage(engine::Stage stage, absl::Duration took) override;
  void OnBatch(int size, std::string_view reason) override;
  void OnQueue(batching::Lane lane, int images, int64_t bytes, int inflight) override;
  void OnRefusal(std::string_view reason, batching::Lane lane) override;
  void OnDeadlineSlack(batching::Lane lane, absl::Duration slack) override;

  // `method` and `code` are constants of ours, never text of a caller. No lane: a call that does
  // not come near the device.
  void OnRequest(const std::string& method, const std::string& code,
                 std::optional<batching::Lane> lane, absl::Duration took);
  void OnRefusal(std::string_view reason, std::optional<batching::Lane> lane);
  void OnVerdict(engine::Verdict verdict);
  void SetBuildInfo(const std::string& version, const engine::ModelInfo& model);

  const std::shared_ptr<prometheus::Registry>& registry() const { return registry_; }

 private:
  template <typename T>
  using Family = prometheus::Family<T>;

  std::shared_ptr<prometheus::Registry> registry_;
  Family<prometheus::Counter>* requests_;
  Family<prometheus::Histogram>* request_seconds_;
  Family<prometheus::Counter>* batches_;
  Family<prometheus::Counter>* refusals_;
  Family<prometheus::Gauge>* build_info_;
  std::array<prometheus::Histogram*, 7> stages_;
  std::array<prometheus::Counter*, 3> verdicts_;
  prometheus::Histogram* batch_size_;
  template <typename T>
  using ByLane = std::array<T*, batching::kLanes>;
  ByLane<prometheus::Gauge> queue_images_;
  ByLane<prometheus::Gauge> queue_bytes_;
  ByLane<prometheus::Gauge> inflight_images_;
  ByLane<prometheus::Histogram> deadline_slack_;
};

// process_* as the Prometheus client libraries name them, from /proc/self.
std::shared_ptr<prometheus::Collectable> MakeProcessCollector();
// hfwa_products and hfwa_references, counted at each scrape. `engine` outlives the collector.
std::shared_ptr<prometheus::Collectable> MakeStoreCollector(engine::Engine* engine);

}  // namespace hfwa::server
