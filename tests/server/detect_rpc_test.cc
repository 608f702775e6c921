#include <gmock/gmock.h>

#include <set>
#include <thread>

#include "tests/server/grpc_fixture.h"

namespace hfwa::server::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class DetectRpc : public GrpcTest {
 protected:
  DetectRpc() {
    StartServer();
    CreateProduct("nut");
  }

  grpc::Status Detect(const v1::DetectRequest& request, v1::DetectResponse* response) {
    return detection_->Detect(Context().get(), request, response);
  }
  std::string ReasonOfImage(const std::string& image) {
    v1::DetectResponse response;
    return ReasonIn(Detect(DetectOf("nut", image), &response));
  }
};

TEST_F(DetectRpc, reply_explains_itself) {
  v1::DetectRequest request = DetectOf("nut", "bad");
  (*request.mutable_labels())["serial"] = "4711\xc3\xa9";
  request.mutable_outputs()->set_map(true);
  request.mutable_outputs()->set_regions(true);
  request.mutable_outputs()->set_map_format(v1::FLOAT32);
  v1::DetectResponse response;
  const grpc::Status status = Detect(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.score(), 0.9);
  EXPECT_EQ(response.verdict(), v1::DetectResponse::ANOMALOUS);
  EXPECT_EQ(response.threshold(), 0.5);
  EXPECT_EQ(response.calibration_state(), v1::Product::PROVISIONAL);
  EXPECT_EQ(response.method(), v1::DetectResponse::FEW_SHOT);
  EXPECT_EQ(response.raw().text_probability(), 0.25);
  EXPECT_EQ(response.raw().map_max(), 0.75);
  EXPECT_EQ(response.map().format(), v1::FLOAT32);
  EXPECT_EQ(response.map().data(), "map");
  ASSERT_EQ(response.regions_size(), 1);
  EXPECT_EQ(response.regions(0).polygon_size(), 3);
  EXPECT_EQ(response.product_revision(), "products/nut/revisions/3");
  EXPECT_EQ(response.model_digest(), std::string(64, 'd'));
  EXPECT_EQ(response.labels().at("serial"), "4711\xc3\xa9");
  EXPECT_EQ(response.times().encode().seconds(), 1);
  EXPECT_EQ(response.times().encode().nanos(), 500'000'000);
  EXPECT_EQ(response.image_width(), 8);
  EXPECT_TRUE(LogHolds("\"verdict\":\"anomalous\""));
  EXPECT_TRUE(LogHolds("\"labels\":{\"serial\":\"4711\xc3\xa9\"}"));
}

TEST_F(DetectRpc, errors_carry_their_reason) {
  v1::DetectResponse response;
  const grpc::Status unknown = Detect(DetectOf("bolt", "good"), &response);
  EXPECT_EQ(unknown.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ReasonIn(unknown), "PRODUCT_NOT_FOUND");
  EXPECT_THAT(unknown.error_message(), HasSubstr("products/bolt"));

  const grpc::Status broken = Detect(DetectOf("nut", "broken"), &response);
  EXPECT_EQ(broken.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonIn(broken), "IMAGE_INVALID");
  EXPECT_EQ(FieldIn(broken), "image.content");

  const grpc::Status full = Detect(DetectOf("nut", "full"), &response);
  EXPECT_EQ(full.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(RetryIn(full), absl::Milliseconds(250));

  v1::DetectRequest no_image;
  no_image.set_product("products/nut");
  EXPECT_EQ(FieldIn(Detect(no_image, &response)), "image");
  v1::DetectRequest odd = DetectOf("nut", "good");
  odd.mutable_outputs()->set_map_size(static_cast<v1::MapSize>(77));
  EXPECT_EQ(FieldIn(Detect(odd, &response)), "outputs.map_size");
  odd = DetectOf("nut", "good");
  odd.set_priority(static_cast<v1::Priority>(3));
  EXPECT_EQ(FieldIn(Detect(odd, &response)), "priority");
}

TEST_F(DetectRpc, faults_show_nothing_but_the_request_id) {
  for (const char* image : {"bug", "throw"}) {
    v1::DetectResponse response;
    const grpc::Status status = Detect(DetectOf("nut", image), &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL) << image;
    EXPECT_THAT(status.error_message(), HasSubstr("internal error, request id "));
    EXPECT_THAT(status.error_message() + status.error_details(), Not(HasSubstr("secret")));
  }
  EXPECT_TRUE(LogHolds("secret of the engine"));
  EXPECT_TRUE(LogHolds("secret of detect"));
}

TEST_F(DetectRpc, an_exception_after_the_callback_does_no_harm) {
  v1::DetectResponse response;
  EXPECT_TRUE(Detect(DetectOf("nut", "throw-later"), &response).ok());
  EXPECT_TRUE(Detect(DetectOf("nut", "good"), &response).ok());
}

TEST_F(DetectRpc, a_message_beyond_the_limit_is_refused_before_any_handler) {
  v1::DetectResponse response;
  const grpc::Status at_limit = Detect(DetectOf("nut", std::string(1 << 20, 'x')), &response);
  EXPECT_TRUE(at_limit.ok()) << at_limit.error_message();
  const grpc::Status image = Detect(DetectOf("nut", std::string((1 << 20) + 1, 'x')), &response);
  EXPECT_EQ(FieldIn(image), "image.content");
  const grpc::Status message =
      Detect(DetectOf("nut", std::string((1 << 20) + 70'000, 'x')), &response);
  EXPECT_EQ(message.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Detect(DetectOf("nut", "good"), &response).ok());
}

TEST_F(DetectRpc, a_compressed_bomb_is_refused_by_its_unpacked_size) {
  v1::DetectResponse response;
  const auto context = Context();
  context->set_compression_algorithm(GRPC_COMPRESS_GZIP);
  const grpc::Status status =
      detection_->Detect(context.get(), DetectOf("nut", std::string(64 << 20, '\0')), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
}

TEST_F(DetectRpc, cancellation_reaches_the_engine) {
  const auto context = Context();
  v1::DetectResponse response;
  grpc::Status status;
  std::thread caller(
      [&] { status = detection_->Detect(context.get(), DetectOf("nut", "wait"), &response); });
  ASSERT_TRUE(engine_.AwaitWaiting(1));
  context->TryCancel();
  caller.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(LogHolds("\"code\":\"CANCELLED\""));
  EXPECT_EQ(engine_.cancelled(), 1);
}

TEST_F(DetectRpc, deadline_reaches_the_engine) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  v1::DetectResponse response;
  const grpc::Status status = detection_->Detect(&context, DetectOf("nut", "wait"), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  // The engine sees either the deadline or gRPC's cancellation first; it must not wait for ever.
  ASSERT_TRUE(LogHolds("\"method\":\"Detect\""));
  EXPECT_THAT(LogText(),
              ::testing::AnyOf(HasSubstr("\"DEADLINE_EXCEEDED\""), HasSubstr("\"CANCELLED\"")));
}

class DetectStreamRpc : public DetectRpc {
 protected:
  using Stream = grpc::ClientReaderWriter<v1::DetectStreamRequest, v1::DetectStreamResponse>;

  static v1::DetectStreamRequest Of(const std::string& id, const std::string& image) {
    v1::DetectStreamRequest request;
    request.set_id(id);
    *request.mutable_request() = DetectOf("nut", image);
    return request;
  }
};

TEST_F(DetectStreamRpc, replies_come_in_any_order_with_their_ids) {
  const auto context = Context();
  const auto stream = detection_->DetectStream(context.get());
  stream->Write(Of("slow", "wait"));
  stream->Write(Of("quick", "bad"));
  v1::DetectStreamResponse reply;
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_EQ(reply.id(), "quick");
  EXPECT_EQ(reply.response().score(), 0.9);
  engine_.Release();
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_EQ(reply.id(), "slow");
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&reply));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(DetectStreamRpc, errors_come_in_band_and_leave_the_stream_open) {
  const auto context = Context();
  const auto stream = detection_->DetectStream(context.get());
  std::map<std::string, std::string> wanted = {
      {"1", "IMAGE_INVALID"}, {"2", "INTERNAL"}, {"3", "INTERNAL"}, {"4", "QUEUE_FULL"}, {"5", ""}};
  stream->Write(Of("1", "broken"));
  stream->Write(Of("2", "throw"));
  stream->Write(Of("3", "bug"));
  stream->Write(Of("4", "full"));
  stream->Write(Of("5", "good"));
  v1::DetectStreamRequest empty;
  empty.set_id("6");
  stream->Write(empty);
  stream->Write(Of(std::string(129, 'x'), "good"));
  stream->WritesDone();
  v1::DetectStreamResponse reply;
  int replies = 0;
  while (stream->Read(&reply)) {
    ++replies;
    const std::string got = reply.has_error() ? ReasonIn(reply.error()) : "";
    if (reply.id() == "6") {
      EXPECT_EQ(FieldIn(reply.error()), "request");
    } else if (reply.id().empty()) {
      EXPECT_EQ(FieldIn(reply.error()), "id");
    } else {
      EXPECT_EQ(got, wanted[reply.id()]) << reply.id();
    }
    if (reply.id() == "1") {
      EXPECT_EQ(FieldIn(reply.error()), "request.image.content");
    }
    EXPECT_THAT(reply.error().message(), Not(HasSubstr("secret")));
  }
  EXPECT_EQ(replies, 7);
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(DetectStreamRpc, no_more_than_the_limit_are_in_flight) {
  const auto context = Context();
  const auto stream = detection_->DetectStream(context.get());
  std::thread writer([&] {
    for (int i = 0; i < 100; ++i) stream->Write(Of(std::to_string(i), "wait"));
    stream->WritesDone();
  });
  ASSERT_TRUE(engine_.AwaitWaiting(32));
  v1::DetectResponse other;
  EXPECT_TRUE(
      Detect(DetectOf("nut", "good"), &other).ok());  // time for a 33rd to arrive, were it read
  engine_.Release();
  std::set<std::string> ids;
  v1::DetectStreamResponse reply;
  while (stream->Read(&reply)) ids.insert(reply.id());
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(ids.size(), 100U);
  EXPECT_LE(engine_.waiting_max(), 32);
}

TEST_F(DetectStreamRpc, cancelled_streams_free_what_they_hold) {
  const auto context = Context();
  const auto stream = detection_->DetectStream(context.get());
  for (int i = 0; i < 5; ++i) stream->Write(Of(std::to_string(i), "wait"));
  ASSERT_TRUE(engine_.AwaitWaiting(5));
  context->TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  server_->Stop(absl::Seconds(5));
  EXPECT_EQ(engine_.cancelled(), 5);
}

TEST_F(DetectStreamRpc, draining_answers_what_is_in_flight_and_ends_the_stream) {
  const auto context = Context();
  const auto stream = detection_->DetectStream(context.get());
  stream->Write(Of("1", "wait"));
  ASSERT_TRUE(engine_.AwaitWaiting(1));
  std::thread stop([&] { server_->Stop(absl::Seconds(8)); });
  engine_.Release();
  v1::DetectStreamResponse reply;
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_EQ(reply.id(), "1");
  EXPECT_TRUE(reply.has_response());
  EXPECT_FALSE(stream->Read(&reply));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonIn(status), "DRAINING");
  stop.join();
}

TEST_F(DetectStreamRpc, many_streams_that_die_at_any_moment_leave_nothing_behind) {
  std::vector<std::thread> clients;
  clients.reserve(4);
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([this, c] {
      for (int i = 0; i < 50; ++i) {
        const auto context = Context();
        const auto stream = detection_->DetectStream(context.get());
        for (int m = 0; m <= (i + c) % 7; ++m) stream->Write(Of("x", m % 3 == 0 ? "wait" : "good"));
        v1::DetectStreamResponse reply;
        if (i % 3 == 0 && (i + c) % 7 > 0) stream->Read(&reply);
        context->TryCancel();
        stream->Finish();
      }
    });
  }
  for (std::thread& client : clients) client.join();
  const auto start = std::chrono::steady_clock::now();
  server_->Stop(absl::Seconds(8));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(6))
      << "a call was left behind";
}

}  // namespace
}  // namespace hfwa::server::testing
