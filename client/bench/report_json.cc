#include "client/bench/report_json.h"

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace hfwa::bench {
namespace {

using Json = nlohmann::ordered_json;

Json SummaryJson(const Summary& summary) {
  if (summary.count == 0) return nullptr;
  return {{"mean", summary.mean}, {"p50", summary.p50}, {"p90", summary.p90},
          {"p95", summary.p95},   {"p99", summary.p99}, {"p99_9", summary.p99_9},
          {"max", summary.max}};
}

Json LoadJson(const Report& report) {
  const LoadOptions& load = report.load;
  Json json{{"mode", load.open() ? "open" : "closed"}};
  if (load.open()) {
    json["rate"] = load.rate;
    json["arrivals"] = load.arrivals == ArrivalKind::kPoisson ? "poisson" : "constant";
    json["max_outstanding"] = load.max_outstanding;
  } else {
    json["concurrency"] = load.concurrency;
  }
  json["duration_s"] = absl::ToDoubleSeconds(load.duration);
  json["warmup_s"] = absl::ToDoubleSeconds(load.warmup);
  json["deadline_s"] = absl::ToDoubleSeconds(load.deadline);
  json["seed"] = load.seed;
  json["connections"] = report.subject.connections;
  json["heatmap"] = report.subject.heatmap;
  json["products"] = report.subject.products;
  json["pictures"] = report.subject.pictures;
  json["picture_bytes"] = report.subject.picture_bytes;
  return json;
}

Json FailuresJson(const Report& report) {
  Json failures = Json::array();
  for (const auto& failure : report.failures) {
    failures.push_back({{"code", failure.code},
                        {"reason", failure.reason},
                        {"count", failure.latency_ms.count},
                        {"latency_ms", SummaryJson(failure.latency_ms)},
                        {"service_latency_ms", SummaryJson(failure.service_ms)}});
  }
  return failures;
}

Json ServerJson(const Report& report) {
  Json stages = Json::object();
  for (const auto& stage : report.stages) {
    stages[stage.name] = {{"mean", stage.ms.mean}, {"p99", stage.ms.p99}};
  }
  Json batches = Json::object();
  for (const auto& [size, count] : report.batch_sizes) batches[absl::StrCat(size)] = count;
  return {{"stages_ms", std::move(stages)}, {"batch_sizes", std::move(batches)}};
}

Json ColdJson(const Report& report) {
  Json cold = Json::array();
  for (const ColdCall& call : report.cold) {
    cold.push_back({{"product", report.subject.products[call.product]},
                    {"code", absl::StatusCodeToString(call.outcome.code)},
                    {"reason", call.outcome.reason},
                    {"latency_ms", absl::ToDoubleMilliseconds(call.latency)},
                    {"server_ms", call.outcome.stages_ms.back()}});
  }
  return cold;
}

Json SearchJson(const Report& report) {
  Json probes = Json::array();
  for (const Probe& probe : report.probes) {
    probes.push_back({{"rate", probe.rate},
                      {"ok", probe.ok},
                      {"failed", probe.failed},
                      {"p99_ms", probe.ok > 0 ? Json(probe.p99_ms) : Json()},
                      {"passed", probe.passed}});
  }
  return {{"best_rate", report.best_rate.has_value() ? Json(*report.best_rate) : Json()},
          {"probes", std::move(probes)}};
}

}  // namespace

std::string ToJson(const Report& report) {
  const Subject& subject = report.subject;
  Json json{{"client_version", subject.client_version},
            {"server", subject.server},
            {"model", subject.model},
            {"model_digest", subject.model_digest},
            {"device", subject.device},
            {"precision", subject.precision},
            {"started", absl::FormatTime(absl::RFC3339_sec, subject.started, absl::UTCTimeZone())},
            {"load", LoadJson(report)},
            {"valid", report.invalid.empty()},
            {"invalid", report.invalid},
            {"warnings", report.warnings},
            {"measured_s", report.measured_s},
            {"intended", report.intended()},
            {"not_sent", report.not_sent},
            {"sent", report.sent},
            {"ok", report.ok},
            {"ok_in_time", report.ok_in_time},
            {"failed", report.failed},
            {"interrupted", report.interrupted},
            {"offered_per_s", report.offered()},
            {"throughput_per_s", report.throughput},
            {"goodput_per_s", report.goodput},
            {"latency_ms", SummaryJson(report.latency_ms)},
            {"service_latency_ms", SummaryJson(report.service_ms)},
            {"failures", FailuresJson(report)}};
  json.update(ServerJson(report));
  json["seconds"] = Json::array();
  for (const auto& second : report.seconds) {
    json["seconds"].push_back({{"ok", second.ok}, {"failed", second.failed}});
  }
  json["generator"] = {{"cpu_share", report.cpu_share},
                       {"cores", report.cores},
                       {"most_outstanding", report.most_outstanding},
                       {"lag_ms", SummaryJson(report.lag_ms)}};
  if (!report.cold.empty()) json["cold"] = ColdJson(report);
  if (report.p99_target_ms.has_value()) {
    json["p99_target_ms"] = *report.p99_target_ms;
    json["p99_within_target"] = report.WithinTarget();
  }
  if (!report.probes.empty()) json["search"] = SearchJson(report);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace hfwa::bench
