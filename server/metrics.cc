#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "server/reasons.h"

namespace hfwa::server {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

// 1 ms to 10 s, and 250 µs for what the service adds to a call.
const Buckets kSeconds = {0.00025, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02,
                          0.03,    0.05,  0.075, 0.1,   0.15,  0.2,    0.3,  0.5,   0.75,
                          1,       1.5,   2,     3,     5,     7.5,    10};
// Around zero: what was answered late, and by how little the rest was in time.
const Buckets kSlackSeconds = {-0.1, -0.01, 0,   0.001, 0.002, 0.005, 0.01, 0.02,
                               0.05, 0.1,   0.2, 0.5,   1,     2,     5,    10};
const Buckets kBatchSizes = {1, 2, 4, 8, 16, 32, 64};
constexpr std::array<const char*, 7> kStageLabels = {"decode", "preprocess", "queue", "encode",
                                                     "match",  "score",      "render"};
constexpr std::array<const char*, 3> kVerdictLabels = {"unspecified", "good", "anomalous"};

prometheus::Family<prometheus::Counter>& CounterFamily(prometheus::Registry& registry,
                                                       const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

// Of the label `lane`: of calls that do not come near the device, "none".
std::string LaneLabel(std::optional<batching::Lane> lane) {
  return lane.has_value() ? std::string(batching::LaneName(*lane)) : "none";
}

std::array<prometheus::Gauge*, batching::kLanes> LaneGauges(prometheus::Registry& registry,
                                                            const char* name, const char* help) {
  auto& family = prometheus::BuildGauge().Name(name).Help(help).Register(registry);
  std::array<prometheus::Gauge*, batching::kLanes> gauges;
  for (size_t i = 0; i < gauges.size(); ++i)
    gauges[i] = &family.Add({{"lane", LaneLabel(static_cast<batching::Lane>(i))}});
  return gauges;
}

}  // namespace

Metrics::Metrics() : registry_(std::make_shared<prometheus::Registry>()) {
  prometheus::Registry& r = *registry_;
  requests_ = &CounterFamily(
      r, "hfwa_requests_total",
      "Calls ended, by method and gRPC code; each message of a DetectStream is one.");
  request_seconds_ = &prometheus::BuildHistogram()
                          .Name("hfwa_request_duration_seconds")
                          .Help("Time from a call's arrival to its reply.")
                          .Register(r);
  auto& stages = prometheus::BuildHistogram()
                     .Name("hfwa_stage_duration_seconds")
                     .Help("Time that an image spent in each stage.")
                     .Register(r);
  for (size_t i = 0; i < stages_.size(); ++i)
    stages_[i] = &stages.Add({{"stage", kStageLabels[i]}}, kSeconds);
  batch_size_ = &prometheus::BuildHistogram()
                     .Name("hfwa_batch_size")
                     .Help("Images in a batch.")
                     .Register(r)
                     .Add({}, kBatchSizes);
  batches_ = &CounterFamily(r, "hfwa_batches_total", "Batches, by why they were dispatched.");
  for (const char* why : {"full", "window", "idle", "deadline"}) batches_->Add({{"reason", why}});
  queue_images_ = LaneGauges(r, "hfwa_queue_images", "Images that wait for the device.");
  queue_bytes_ = LaneGauges(r, "hfwa_queue_bytes", "Bytes of the images that wait for the device.");
  inflight_images_ = LaneGauges(r, "hfwa_inflight_images", "Images on the device.");
  auto& slack = prometheus::BuildHistogram()
                    .Name("hfwa_deadline_slack_seconds")
                    .Help("What was left until the deadline when a call with one was answered.")
                    .Register(r);
  for (size_t i = 0; i < deadline_slack_.size(); ++i) {
    deadline_slack_[i] =
        &slack.Add({{"lane", LaneLabel(static_cast<batching::Lane>(i))}}, kSlackSeconds);
  }
  refusals_ = &CounterFamily(r, "hfwa_refusals_total",
                             "Calls refused under load or while draining, by ErrorInfo reason.");
  for (const char* why : {reason::kQueueFull, reason::kDraining, reason::kDeadlineExceeded}) {
    refusals_->Add({{"lane", LaneLabel(batching::Lane::kLive)}, {"reason", why}});
  }
  auto& verdicts = CounterFamily(r, "hfwa_verdicts_total", "Verdicts given.");
  for (size_t i = 0; i < verdicts_.size(); ++i)
    verdicts_[i] = &verdicts.Add({{"verdict", kVerdictLabels[i]}});
  build_info_ = &prometheus::BuildGauge()
                     .Name("hfwa_build_info")
                     .Help("1; the labels say which program and model run.")
                     .Register(r);
}

Metrics::~Metrics() = default;

void Metrics::OnStage(engine::Stage stage, absl::Duration took) {
  const auto i = static_cast<size_t>(stage);
  if (i < stages_.size()) stages_[i]->Observe(absl::ToDoubleSeconds(took));
}

void Metrics::OnBatch(int size, std::string_view reason) {
  batch_size_->Observe(size);
  batches_->Add({{"reason", std::string(reason)}}).Increment();
}

void Metrics::OnQueue(batching::Lane lane, int images, int64_t bytes, int inflight) {
  const auto i = static_cast<size_t>(lane);
  queue_images_[i]->Set(images);
  queue_bytes_[i]->Set(static_cast<double>(bytes));
  inflight_images_[i]->Set(inflight);
}

void Metrics::OnRefusal(std::string_view reason, batching::Lane lane) {
  OnRefusal(reason, std::optional(lane));
}

void Metrics::OnRefusal(std::string_view reason, std::optional<batching::Lane> lane) {
  refusals_->Add({{"lane", LaneLabel(lane)}, {"reason", std::string(reason)}}).Increment();
}

void Metrics::OnDeadlineSlack(batching::Lane lane, absl::Duration slack) {
  deadline_slack_[static_cast<size_t>(lane)]->Observe(absl::ToDoubleSeconds(slack));
}

void Metrics::OnRequest(const std::string& method, const std::string& code,
                        std::optional<batching::Lane> lane, absl::Duration took) {
  const std::string label = LaneLabel(lane);
  requests_->Add({{"code", code}, {"lane", label}, {"method", method}}).Increment();
  request_seconds_->Add({{"lane", label}, {"method", method}}, kSeconds)
      .Observe(absl::ToDoubleSeconds(took));
}

void Metrics::OnVerdict(engine::Verdict verdict) {
  const auto i = static_cast<size_t>(verdict);
  if (i < verdicts_.size()) verdicts_[i]->Increment();
}

void Metrics::SetBuildInfo(const std::string& version, const engine::ModelInfo& model) {
  build_info_
      ->Add({{"device", model.device},
             {"model_digest", model.digest},
             {"precision", model.precision},
             {"version", version}})
      .Set(1);
}

}  // namespace hfwa::server
