#include "tests/server/grpc_fixture.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>

#include "absl/strings/numbers.h"
#include "server/settings.h"

namespace hfwa::server::testing {

google::rpc::Status RpcStatusOf(const grpc::Status& status) {
  google::rpc::Status rpc;
  rpc.ParseFromString(status.error_details());
  return rpc;
}

std::string ReasonIn(const google::rpc::Status& status) {
  for (const auto& any : status.details()) {
    google::rpc::ErrorInfo info;
    if (any.UnpackTo(&info)) return info.reason();
  }
  return "no ErrorInfo: " + status.message();
}

std::string FieldIn(const google::rpc::Status& status) {
  for (const auto& any : status.details()) {
    google::rpc::BadRequest bad;
    if (any.UnpackTo(&bad)) return bad.field_violations(0).field();
  }
  return "";
}

std::optional<absl::Duration> RetryIn(const grpc::Status& status) {
  const google::rpc::Status rpc = RpcStatusOf(status);
  for (const auto& any : rpc.details()) {
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&retry)) {
      return absl::Seconds(retry.retry_delay().seconds()) +
             absl::Nanoseconds(retry.retry_delay().nanos());
    }
  }
  return std::nullopt;
}

GrpcTest::GrpcTest()
    : log_(LogLevel::kInfo, Clock::Real(), [this](std::string_view line) {
        const std::lock_guard lock(log_mu_);
        log_text_ += line;
      }) {}

GrpcTest::~GrpcTest() {
  engine_.Release();
  if (server_ != nullptr) server_->Stop(absl::Seconds(2));
}

ServerConfig GrpcTest::Config() {
  ServerConfig config = LoadConfig({}, {})->config;
  config.listen = "127.0.0.1:0";
  config.metrics_listen = "";
  config.max_image_bytes = 1 << 20;
  return config;
}

void GrpcTest::StartServer() {
  auto server = Server::Start(Config(), &engine_, &metrics_, &log_);
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  channel_ = grpc::CreateChannel(server_->grpc_address(), grpc::InsecureChannelCredentials());
  products_ = v1::ProductService::NewStub(channel_);
  detection_ = v1::DetectionService::NewStub(channel_);
  models_ = v1::ModelService::NewStub(channel_);
}

void GrpcTest::CreateProduct(const std::string& id) {
  v1::CreateProductRequest request;
  request.set_product_id(id);
  request.mutable_product();
  v1::Product product;
  const auto context = Context();
  const grpc::Status status = products_->CreateProduct(context.get(), request, &product);
  ASSERT_TRUE(status.ok()) << status.error_message();
}

std::unique_ptr<grpc::ClientContext> GrpcTest::Context() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  return context;
}

std::string GrpcTest::HttpGet(const std::string& path) {
  const std::string address = server_->metrics_address();
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  const std::string request = "GET " + path + " HTTP/1.0\r\n\r\n";
  EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string reply;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(fd, buffer, sizeof(buffer))) > 0;)
    reply.append(buffer, static_cast<size_t>(n));
  close(fd);
  return reply;
}

std::string GrpcTest::LogText() {
  const std::lock_guard lock(log_mu_);
  return log_text_;
}

bool GrpcTest::LogHolds(const std::string& text) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (LogText().find(text) == std::string::npos) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

v1::DetectRequest DetectOf(const std::string& product, const std::string& image) {
  v1::DetectRequest request;
  request.set_product("products/" + product);
  request.mutable_image()->set_content(image);
  return request;
}

}  // namespace hfwa::server::testing
