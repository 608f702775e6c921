#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include <grpcpp/generic/generic_stub.h>

#include "absl/strings/cord.h"
#include "tests/server/grpc_fixture.h"

namespace hfwa::server::testing {
namespace {

// grpc.health.v1 has two tiny messages: a string as field 1, an enum as field 1. Written by hand,
// the test needs no further generated code.
constexpr int kServing = 1;
constexpr int kNotServing = 2;
constexpr int kNone = -1;

grpc::ByteBuffer HealthRequest(const std::string& service) {
  std::string bytes = "\x0a";
  bytes += static_cast<char>(service.size());
  bytes += service;
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

int HealthState(grpc::ByteBuffer* reply) {
  grpc::Slice slice;
  if (!reply->DumpToSingleSlice(&slice).ok() || slice.size() != 2) return kNone;
  return slice.begin()[1];
}

class Health : public GrpcTest {
 protected:
  Health() { StartServer(); }

  int Check(const std::string& service) {
    grpc::GenericStub stub(channel_);
    grpc::CompletionQueue queue;
    const auto context = Context();
    auto call = stub.PrepareUnaryCall(context.get(), "/grpc.health.v1.Health/Check",
                                      HealthRequest(service), &queue);
    call->StartCall();
    grpc::ByteBuffer reply;
    grpc::Status status;
    call->Finish(&reply, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    return status.ok() ? HealthState(&reply) : kNone;
  }
  // Until the state is reached; false after 5 s.
  bool Await(const std::string& service, int state) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (Check(service) != state) {
      if (std::chrono::steady_clock::now() > end) return false;
    }
    return true;
  }
};

TEST_F(Health, all_names_serve_while_the_engine_is_healthy) {
  for (const char* name : kReadinessNames) EXPECT_EQ(Check(name), kServing) << name;
  EXPECT_EQ(Check(kLivenessName), kServing);
  EXPECT_EQ(Check("unknown"), kNone);
}

TEST_F(Health, follows_the_engine_within_100_ms) {
  engine_.SetHealth(absl::UnavailableError("disk is gone"));
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(Await("hfwa.v1", kNotServing));
  // 100 ms and room for a busy machine: a poll of a second would fail.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(500));
  EXPECT_EQ(Check(kLivenessName), kServing);
  engine_.SetHealth(absl::OkStatus());
  EXPECT_TRUE(Await("hfwa.v1", kServing));
}

TEST_F(Health, a_failed_device_ends_liveness_too) {
  absl::Status failed = absl::UnavailableError("device-side assert");
  failed.SetPayload(engine::kReasonPayload, absl::Cord("DEVICE_FAILED"));
  engine_.SetHealth(failed);
  EXPECT_TRUE(Await(kLivenessName, kNotServing));
  EXPECT_TRUE(server_->device_failed());
}

TEST_F(Health, draining_is_not_serving_at_once_and_for_good) {
  server_->StopServing();
  for (const char* name : kReadinessNames) EXPECT_EQ(Check(name), kNotServing) << name;
  engine_.SetHealth(absl::UnavailableError("x"));
  engine_.SetHealth(absl::OkStatus());
  CreateProduct("nut");  // still answered
  EXPECT_EQ(Check(""), kNotServing);
}

TEST_F(Health, watch_tells_of_the_change) {
  grpc::GenericStub stub(channel_);
  grpc::CompletionQueue queue;
  const auto context = Context();
  auto call = stub.PrepareCall(context.get(), "/grpc.health.v1.Health/Watch", &queue);
  void* tag = nullptr;
  bool ok = false;
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  call->Write(HealthRequest("hfwa.v1"), nullptr);
  queue.Next(&tag, &ok);
  grpc::ByteBuffer reply;
  call->Read(&reply, nullptr);
  queue.Next(&tag, &ok);
  ASSERT_TRUE(ok);
  EXPECT_EQ(HealthState(&reply), kServing);
  server_->StopServing();
  call->Read(&reply, nullptr);
  queue.Next(&tag, &ok);
  ASSERT_TRUE(ok);
  EXPECT_EQ(HealthState(&reply), kNotServing);
  context->TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
}

TEST_F(Health, after_the_grace_new_calls_are_refused_as_draining) {
  CreateProduct("nut");
  std::thread caller([&] {
    v1::DetectResponse response;
    EXPECT_TRUE(detection_->Detect(Context().get(), DetectOf("nut", "wait"), &response).ok());
  });
  ASSERT_TRUE(engine_.AwaitWaiting(1));
  std::thread stop([&] { server_->Stop(absl::Seconds(8)); });
  // Until Stop has come to refusing.
  grpc::Status status;
  do {
    v1::DetectResponse response;
    status = detection_->Detect(Context().get(), DetectOf("nut", "good"), &response);
  } while (status.ok());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonIn(status), "DRAINING");
  EXPECT_TRUE(RetryIn(status).has_value());
  engine_.Release();  // the admitted call is answered
  caller.join();
  stop.join();
}

}  // namespace
}  // namespace hfwa::server::testing
