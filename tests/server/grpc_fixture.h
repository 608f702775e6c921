#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "hfwa/v1/detection_service.grpc.pb.h"
#include "hfwa/v1/model_service.grpc.pb.h"
#include "hfwa/v1/product_service.grpc.pb.h"
#include "server/server.h"
#include "tests/server/fake_engine.h"

namespace hfwa::server::testing {

// The details of a reply; each must be there.
google::rpc::Status RpcStatusOf(const grpc::Status& status);
std::string ReasonIn(const google::rpc::Status& status);
inline std::string ReasonIn(const grpc::Status& status) { return ReasonIn(RpcStatusOf(status)); }
// The first field violation's field; empty if there is none.
std::string FieldIn(const google::rpc::Status& status);
inline std::string FieldIn(const grpc::Status& status) { return FieldIn(RpcStatusOf(status)); }
std::optional<absl::Duration> RetryIn(const grpc::Status& status);

// A server over the fake engine on a free port, and a client of it.
class GrpcTest : public ::testing::Test {
 protected:
  GrpcTest();
  ~GrpcTest() override;

  virtual ServerConfig Config();
  void StartServer();
  void CreateProduct(const std::string& id);
  // With a deadline of 10 s, so that a hang fails the test.
  static std::unique_ptr<grpc::ClientContext> Context();
  std::string HttpGet(const std::string& path);
  std::string LogText();
  // The log once it holds `text`: the line is written before the reply, but not before the client
  // reads it.
  bool LogHolds(const std::string& text);

  FakeEngine engine_;
  std::mutex log_mu_;
  std::string log_text_;
  Logger log_;
  Metrics metrics_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ProductService::Stub> products_;
  std::unique_ptr<v1::DetectionService::Stub> detection_;
  std::unique_ptr<v1::ModelService::Stub> models_;
};

v1::DetectRequest DetectOf(const std::string& product, const std::string& image);

}  // namespace hfwa::server::testing
