#include "server/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/resource_quota.h>
#include <prometheus/exposer.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/base/thread_pool.h"
#include "server/call.h"
#include "server/detection_service.h"
#include "server/errors.h"
#include "server/health.h"
#include "server/idle_watch.h"
#include "server/model_service.h"
#include "server/product_service.h"

namespace hfwa::server {
namespace {

constexpr int kStorePoolThreads = 4;
constexpr size_t kStoreQueueMax = 1024;
constexpr int kRegistrationThreads = 4;
constexpr int kRegistrationsMax = 16;
constexpr size_t kQuotaBase = 256u << 20;
constexpr absl::Duration kFlushMax = absl::Seconds(2);
constexpr absl::Duration kRefusalMax = absl::Milliseconds(250);

// TLS comes here.
std::shared_ptr<grpc::ServerCredentials> MakeCredentials(const ServerConfig&) {
  return grpc::InsecureServerCredentials();
}

std::string WithPort(const std::string& address, int port) {
  return absl::StrCat(address.substr(0, address.rfind(':') + 1), port);
}

int Milliseconds(absl::Duration time) { return static_cast<int>(absl::ToInt64Milliseconds(time)); }

void SetLimits(const ServerConfig& config, grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(static_cast<int>(config.max_image_bytes + kMessageOverhead));
  builder->SetMaxSendMessageSize(
      -1);  // maps of size IMAGE as floats; we make them, so they are bounded
  grpc::ResourceQuota quota("hfwa");
  quota.Resize(kQuotaBase + static_cast<size_t>(config.queue_bytes));
  builder->SetResourceQuota(quota);
  // Two servers on one port would silently share the calls.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 64);
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 * 1024);
  // A dead peer is found within the sum of both.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(config.keepalive_time));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                              Milliseconds(config.keepalive_timeout));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Clients may ping every 10 s; who pings more often gets GOAWAY.
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2);
  // Clients come back through the load balancer now and then (gRPC adds 10 % of jitter); open calls
  // go on.
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, 300'000);
}

// Linking the reflection library is enough for gRPC to offer it; this takes it away again.
class NoReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const std::unique_ptr<grpc::ServerBuilderPlugin>& plugin) {
      return plugin->name() == "proto_server_reflection";
    });
  }
};

absl::StatusOr<std::unique_ptr<prometheus::Exposer>> MakeExposer(const std::string& address) {
  try {
    return std::make_unique<prometheus::Exposer>(std::vector<std::string>{
        "listening_ports", address, "num_threads", "2", "request_timeout_ms", "5000"});
  } catch (const std::exception& e) {
    return absl::FailedPreconditionError(
        absl::StrCat("metrics-listen: cannot listen on ", address, ": ", e.what()));
  }
}

class GrpcServer final : public Server {
 public:
  GrpcServer(const ServerConfig& config, engine::Engine* engine, Metrics* metrics, Logger* log)
      : config_(config),
        engine_(engine),
        metrics_(metrics),
        store_pool_("store-calls", kStorePoolThreads, kStoreQueueMax),
        registration_pool_("registrations", kRegistrationThreads, kRegistrationsMax),
        shared_{.engine = engine,
                .metrics = metrics,
                .log = log,
                .clock = &Clock::Real(),
                .admission = &admission_,
                .store_pool = &store_pool_,
                .registration_pool = &registration_pool_,
                .max_image_bytes = config.max_image_bytes,
                .registrations_max = kRegistrationsMax},
        products_(shared_),
        detection_(shared_),
        models_(shared_) {}

  ~GrpcServer() override { Stop(absl::Seconds(1)); }

  absl::Status Open() {
    HFWA_RETURN_IF_ERROR(OpenMetrics());
    if (config_.reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    int port = 0;
    SetLimits(config_, &builder);
    if (!config_.reflection) builder.SetOption(std::make_unique<NoReflection>());
    builder.AddListeningPort(config_.listen, MakeCredentials(config_), &port);
    builder.RegisterService(&products_);
    builder.RegisterService(&detection_);
    builder.RegisterService(&models_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port == 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("listen: cannot listen on ", config_.listen));
    }
    grpc_address_ = WithPort(config_.listen, port);
    health_ =
        std::make_unique<HealthMonitor>(server_->GetHealthCheckService(), engine_, shared_.log);
    idle_watch_ = std::make_unique<IdleWatch>(&admission_, shared_.clock, config_.idle_timeout);
    return absl::OkStatus();
  }

  std::string grpc_address() const override { return grpc_address_; }
  std::string metrics_address() const override { return metrics_address_; }
  bool device_failed() const override { return health_->device_failed(); }
  void StopServing() override { health_->Drain(); }

  void Stop(absl::Duration timeout) override {
    if (std::exchange(stopped_, true)) return;
    if (server_ != nullptr && health_ != nullptr) {
      const absl::Duration end = Clock::Real().SteadyNow() + timeout;
      const auto left = [&] {
        return std::max(end - Clock::Real().SteadyNow(), absl::ZeroDuration());
      };
      health_->Drain();
      admission_.Refuse();
      // A call that arrives just as gRPC shuts down ends as CANCELLED, which no client repeats. So
      // busy clients are first told DRAINING, with a time to come back.
      absl::SleepFor(std::min(left() / 4, kRefusalMax));
      // Admitted registrations still need the engine, so it is drained after them.
      admission_.WaitIdle(left() / 2);
      engine_->Drain(left() / 2);
      // What is left are replies on their way out, and streams that never end by themselves:
      // Health.Watch would hold up the end until the drain timeout.
      const absl::Duration flush = std::min(left(), kFlushMax);
      server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoNanoseconds(flush));
      server_->Wait();
      // What was cancelled still runs to its end in the pools and the engine.
      admission_.WaitIdle(absl::Seconds(1));
    }
    idle_watch_.reset();
    health_.reset();
    exposer_.reset();  // takes up to 2 s: kDrainReserve
  }

 private:
  absl::Status OpenMetrics() {
    if (config_.metrics_listen.empty()) return absl::OkStatus();
    HFWA_ASSIGN_OR_RETURN(exposer_, MakeExposer(config_.metrics_listen));
    collectors_ = {MakeProcessCollector(), MakeStoreCollector(engine_)};
    exposer_->RegisterCollectable(metrics_->registry());
    for (const auto& collector : collectors_) exposer_->RegisterCollectable(collector);
    metrics_address_ = WithPort(config_.metrics_listen, exposer_->GetListeningPorts().at(0));
    return absl::OkStatus();
  }

  const ServerConfig config_;
  engine::Engine* const engine_;
  Metrics* const metrics_;
  Admission admission_;
  ThreadPool store_pool_;
  ThreadPool registration_pool_;
  const Shared shared_;
  ProductService products_;
  DetectionService detection_;
  ModelService models_;
  std::string grpc_address_;
  std::string metrics_address_;
  std::vector<std::shared_ptr<prometheus::Collectable>> collectors_;
  std::unique_ptr<prometheus::Exposer> exposer_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<HealthMonitor> health_;
  std::unique_ptr<IdleWatch> idle_watch_;
  bool stopped_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerConfig& config,
                                                      engine::Engine* engine, Metrics* metrics,
                                                      Logger* log) {
  auto server = std::make_unique<GrpcServer>(config, engine, metrics, log);
  HFWA_RETURN_IF_ERROR(server->Open());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace hfwa::server
