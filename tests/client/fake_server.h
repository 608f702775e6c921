#pragma once

// An hfwa server whose behaviour each test writes itself.

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "hfwa/v1/detection_service.grpc.pb.h"
#include "hfwa/v1/model_service.grpc.pb.h"
#include "hfwa/v1/product_service.grpc.pb.h"

namespace hfwa::client {

// How long a test waits for what must happen: much longer than it takes.
inline constexpr absl::Duration kPatience = absl::Seconds(20);

// An error as the server gives them; without RetryInfo if `retry_delay_ms` is negative.
inline google::rpc::Status RichError(int code, const std::string& text, const std::string& reason,
                                     int64_t retry_delay_ms = -1) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(text);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("hfwa.dev");
  status.add_details()->PackFrom(info);
  if (retry_delay_ms >= 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(retry_delay_ms / 1000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(retry_delay_ms % 1000) * 1'000'000);
    status.add_details()->PackFrom(retry);
  }
  return status;
}

inline grpc::Status ToGrpc(const google::rpc::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), status.message(),
          status.SerializeAsString()};
}

using DetectServerStream =
    grpc::ServerReaderWriter<v1::DetectStreamResponse, v1::DetectStreamRequest>;

// What the server does; replace what a test needs. Called from gRPC's threads.
struct Behaviour {
  std::function<grpc::Status(grpc::ServerContext&, const v1::CreateProductRequest&, v1::Product&)>
      create_product = [](auto&, const auto& request, auto& product) {
        product = request.product();
        product.set_name(absl::StrCat("products/", request.product_id()));
        return grpc::Status::OK;
      };
  std::function<grpc::Status(const v1::GetProductRequest&, v1::Product&)> get_product =
      [](const auto& request, auto& product) {
        product.set_name(request.name());
        return grpc::Status::OK;
      };
  std::function<grpc::Status(const v1::ListProductsRequest&, v1::ListProductsResponse&)>
      list_products;
  std::function<grpc::Status(const v1::UpdateProductRequest&, v1::Product&)> update_product;
  std::function<grpc::Status(grpc::ServerReader<v1::AddReferencesRequest>&,
                             v1::AddReferencesResponse&)>
      add_references;
  std::function<grpc::Status(grpc::ServerContext&, const v1::DetectRequest&, v1::DetectResponse&)>
      detect;
  std::function<grpc::Status(grpc::ServerContext&, DetectServerStream&)> detect_stream;
  std::function<grpc::Status(v1::Model&)> get_model;
  bool serving = true;
};

class FakeServer final : public v1::ProductService::Service {
 public:
  // Listens on a free port of this machine.
  explicit FakeServer(Behaviour behaviour) : behaviour_(std::move(behaviour)) {
    detection_.owner = models_.owner = health_.owner = this;
    int port = 0;
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(64 << 20);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    builder.RegisterService(&detection_);
    builder.RegisterService(&models_);
    builder.RegisterService(&health_);
    server_ = builder.BuildAndStart();
    target_ = absl::StrCat("127.0.0.1:", port);
  }
  ~FakeServer() override { server_->Shutdown(std::chrono::system_clock::now()); }

  const std::string& target() const { return target_; }

  grpc::Status CreateProduct(grpc::ServerContext* context, const v1::CreateProductRequest* request,
                             v1::Product* product) override {
    return behaviour_.create_product(*context, *request, *product);
  }
  grpc::Status GetProduct(grpc::ServerContext*, const v1::GetProductRequest* request,
                          v1::Product* product) override {
    return behaviour_.get_product(*request, *product);
  }
  grpc::Status ListProducts(grpc::ServerContext*, const v1::ListProductsRequest* request,
                            v1::ListProductsResponse* response) override {
    return behaviour_.list_products(*request, *response);
  }
  grpc::Status UpdateProduct(grpc::ServerContext*, const v1::UpdateProductRequest* request,
                             v1::Product* product) override {
    return behaviour_.update_product(*request, *product);
  }
  grpc::Status AddReferences(grpc::ServerContext*,
                             grpc::ServerReader<v1::AddReferencesRequest>* reader,
                             v1::AddReferencesResponse* response) override {
    return behaviour_.add_references(*reader, *response);
  }

 private:
  struct Detection final : v1::DetectionService::Service {
    FakeServer* owner = nullptr;
    grpc::Status Detect(grpc::ServerContext* context, const v1::DetectRequest* request,
                        v1::DetectResponse* response) override {
      return owner->behaviour_.detect(*context, *request, *response);
    }
    grpc::Status DetectStream(grpc::ServerContext* context, DetectServerStream* stream) override {
      return owner->behaviour_.detect_stream(*context, *stream);
    }
  };
  struct Models final : v1::ModelService::Service {
    FakeServer* owner = nullptr;
    grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest*,
                          v1::Model* model) override {
      return owner->behaviour_.get_model(*model);
    }
  };
  struct Health final : grpc::health::v1::Health::Service {
    FakeServer* owner = nullptr;
    grpc::Status Check(grpc::ServerContext*, const grpc::health::v1::HealthCheckRequest*,
                       grpc::health::v1::HealthCheckResponse* response) override {
      response->set_status(owner->behaviour_.serving
                               ? grpc::health::v1::HealthCheckResponse::SERVING
                               : grpc::health::v1::HealthCheckResponse::NOT_SERVING);
      return grpc::Status::OK;
    }
  };

  const Behaviour behaviour_;
  Detection detection_;
  Models models_;
  Health health_;
  std::string target_;
  std::unique_ptr<grpc::Server> server_;
};

// Answers each image by its content, "bad..." as ANOMALOUS; with a map if asked for.
inline void JudgeByContent(const v1::DetectRequest& request, v1::DetectResponse& response) {
  const bool bad = request.image().content().substr(0, 3) == "bad";
  response.set_score(bad ? 0.9 : 0.1);
  response.set_verdict(bad ? v1::DetectResponse::ANOMALOUS : v1::DetectResponse::GOOD);
  response.set_threshold(0.5);
  response.mutable_times()->mutable_total()->set_nanos(12'300'000);
}

// A detect_stream that does so one by one.
inline grpc::Status JudgeStream(grpc::ServerContext&, DetectServerStream& stream) {
  v1::DetectStreamRequest request;
  while (stream.Read(&request)) {
    v1::DetectStreamResponse response;
    response.set_id(request.id());
    JudgeByContent(request.request(), *response.mutable_response());
    stream.Write(response);
  }
  return grpc::Status::OK;
}

// Waits until `context`'s caller has gone away.
inline bool WaitForCancel(grpc::ServerContext& context) {
  const absl::Time end = absl::Now() + kPatience;
  while (!context.IsCancelled() && absl::Now() < end) absl::SleepFor(absl::Milliseconds(1));
  return context.IsCancelled();
}

}  // namespace hfwa::client
