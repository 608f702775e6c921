#include "client/detect_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "client/client.h"
#include "tests/client/fake_server.h"

namespace hfwa::client {
namespace {

v1::DetectRequest Request(const std::string& content) {
  v1::DetectRequest request;
  request.set_product("products/bolt");
  request.mutable_image()->set_content(content);
  return request;
}

// The answers of a stream, by the request's content.
class Answers {
 public:
  DetectStream::Callback For(const std::string& content) {
    return [this, content](absl::StatusOr<v1::DetectResponse> response) {
      absl::MutexLock lock(&mu_);
      order_.push_back(content);
      EXPECT_TRUE(answers_.emplace(content, std::move(response)).second) << content << " twice";
    };
  }
  const absl::StatusOr<v1::DetectResponse>& Of(const std::string& content) {
    absl::MutexLock lock(&mu_);
    return answers_.at(content);
  }
  std::vector<std::string> order() {
    absl::MutexLock lock(&mu_);
    return order_;
  }

 private:
  absl::Mutex mu_;
  std::vector<std::string> order_;
  std::map<std::string, absl::StatusOr<v1::DetectResponse>> answers_;
};

TEST(DetectStreamTest, answers_find_their_callbacks_when_out_of_order) {
  Behaviour behaviour;
  // Collects three, then answers from the last.
  behaviour.detect_stream = [](auto&, DetectServerStream& stream) {
    std::vector<v1::DetectStreamRequest> requests(3);
    for (auto& request : requests) EXPECT_TRUE(stream.Read(&request));
    std::reverse(requests.begin(), requests.end());
    for (const auto& request : requests) {
      v1::DetectStreamResponse response;
      response.set_id(request.id());
      JudgeByContent(request.request(), *response.mutable_response());
      stream.Write(response);
    }
    v1::DetectStreamRequest none;
    EXPECT_FALSE(stream.Read(&none));
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  auto client = Client::Connect({.target = server.target()});
  auto stream = client->OpenDetectStream();
  Answers answers;
  for (const char* content : {"good", "bad", "fine"})
    stream->Send(Request(content), answers.For(content));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_THAT(answers.order(), ::testing::ElementsAre("fine", "bad", "good"));
  EXPECT_EQ(answers.Of("bad")->verdict(), v1::DetectResponse::ANOMALOUS);
  EXPECT_EQ(answers.Of("good")->verdict(), v1::DetectResponse::GOOD);
}

TEST(DetectStreamTest, stream_goes_on_when_one_image_has_an_error) {
  Behaviour behaviour;
  behaviour.detect_stream = [](auto&, DetectServerStream& stream) {
    v1::DetectStreamRequest request;
    while (stream.Read(&request)) {
      v1::DetectStreamResponse response;
      response.set_id(request.id());
      if (request.request().image().content() == "junk") {
        *response.mutable_error() = RichError(3, "not an image", "UNKNOWN_FORMAT");
      } else {
        JudgeByContent(request.request(), *response.mutable_response());
      }
      stream.Write(response);
    }
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  auto client = Client::Connect({.target = server.target()});
  auto stream = client->OpenDetectStream();
  Answers answers;
  for (const char* content : {"good", "junk", "bad"})
    stream->Send(Request(content), answers.For(content));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(answers.Of("good").ok());
  EXPECT_TRUE(answers.Of("bad").ok());
  EXPECT_EQ(answers.Of("junk").status().message(), "not an image [UNKNOWN_FORMAT]");
}

TEST(DetectStreamTest, image_is_sent_again_when_server_is_full) {
  std::atomic<int> refused = 0;
  Behaviour behaviour;
  behaviour.detect_stream = [&](auto&, DetectServerStream& stream) {
    v1::DetectStreamRequest request;
    while (stream.Read(&request)) {
      v1::DetectStreamResponse response;
      response.set_id(request.id());
      if (refused < 2) {
        ++refused;
        *response.mutable_error() = RichError(8, "full", "QUEUE_FULL", 1);
      } else {
        JudgeByContent(request.request(), *response.mutable_response());
      }
      stream.Write(response);
    }
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  auto client = Client::Connect(
      {.target = server.target(), .retry = {.initial_backoff = absl::Milliseconds(1)}});
  auto stream = client->OpenDetectStream();
  Answers answers;
  stream->Send(Request("good"), answers.For("good"));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(answers.Of("good").ok()) << answers.Of("good").status();
  EXPECT_EQ(refused, 2);
}

TEST(DetectStreamTest, outstanding_images_are_sent_again_when_stream_breaks) {
  std::atomic<int> streams = 0;
  Behaviour behaviour;
  behaviour.detect_stream = [&](grpc::ServerContext& context, DetectServerStream& stream) {
    if (++streams > 1) return JudgeStream(context, stream);
    v1::DetectStreamRequest request;
    EXPECT_TRUE(stream.Read(&request));
    EXPECT_TRUE(stream.Read(&request));
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "draining");
  };
  FakeServer server(behaviour);
  auto client = Client::Connect(
      {.target = server.target(), .retry = {.initial_backoff = absl::Milliseconds(1)}});
  auto stream = client->OpenDetectStream();
  Answers answers;
  for (const char* content : {"good", "bad", "fine"})
    stream->Send(Request(content), answers.For(content));
  EXPECT_TRUE(stream->Finish().ok());
  for (const char* content : {"good", "bad", "fine"}) {
    EXPECT_TRUE(answers.Of(content).ok()) << answers.Of(content).status();
  }
  EXPECT_EQ(streams, 2);
}

TEST(DetectStreamTest, images_fail_when_no_server_answers) {
  std::string target;
  {
    FakeServer server{Behaviour()};
    target = server.target();
  }
  auto client =
      Client::Connect({.target = target, .retry = {.initial_backoff = absl::Milliseconds(1)}});
  auto stream = client->OpenDetectStream();
  Answers answers;
  for (const char* content : {"a", "b"}) stream->Send(Request(content), answers.For(content));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(absl::IsUnavailable(answers.Of("a").status())) << answers.Of("a").status();
  EXPECT_TRUE(absl::IsUnavailable(answers.Of("b").status())) << answers.Of("b").status();
}

TEST(DetectStreamTest, send_waits_when_too_many_are_in_flight) {
  constexpr size_t kMax = 3;
  std::atomic<size_t> outstanding = 0;
  std::atomic<size_t> most = 0;
  Behaviour behaviour;
  behaviour.detect_stream = JudgeStream;
  FakeServer server(behaviour);
  auto client = Client::Connect({.target = server.target()});
  auto stream = client->OpenDetectStream({.max_in_flight = kMax});
  std::atomic<size_t> answered = 0;
  for (int i = 0; i < 100; ++i) {
    most = std::max<size_t>(most, ++outstanding);
    stream->Send(Request("good"), [&](const absl::StatusOr<v1::DetectResponse>& response) {
      EXPECT_TRUE(response.ok()) << response.status();
      --outstanding;
      ++answered;
    });
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(answered, 100u);
  // One more waits inside Send, and answers of one turn are handed out after their room is free.
  EXPECT_LE(most, 2 * kMax + 1);
}

TEST(DetectStreamTest, image_ends_with_deadline_exceeded_when_server_hangs) {
  Behaviour behaviour;
  std::atomic<bool> told = false;
  behaviour.detect_stream = [&](grpc::ServerContext& context, DetectServerStream&) {
    told = WaitForCancel(context);
    return grpc::Status::CANCELLED;
  };
  {
    FakeServer server(behaviour);
    auto client = Client::Connect({.target = server.target(), .retry = {.max_retries = 0}});
    auto stream = client->OpenDetectStream({.deadline = absl::Milliseconds(50)});
    Answers answers;
    stream->Send(Request("good"), answers.For("good"));
    EXPECT_TRUE(stream->Finish().ok());
    EXPECT_TRUE(absl::IsDeadlineExceeded(answers.Of("good").status()))
        << answers.Of("good").status();
  }
  EXPECT_TRUE(told) << "the stream of a silent server must be given up";
}

TEST(DetectStreamTest, everything_ends_with_cancelled_when_stop_is_requested) {
  absl::Notification arrived;
  Behaviour behaviour;
  behaviour.detect_stream = [&](grpc::ServerContext& context, DetectServerStream& stream) {
    v1::DetectStreamRequest request;
    stream.Read(&request);
    arrived.Notify();
    WaitForCancel(context);
    return grpc::Status::CANCELLED;
  };
  FakeServer server(behaviour);
  auto client = Client::Connect({.target = server.target()});
  std::stop_source stop;
  auto stream = client->OpenDetectStream({.cancel = stop.get_token()});
  Answers answers;
  stream->Send(Request("a"), answers.For("a"));
  stream->Send(Request("b"), answers.For("b"));
  arrived.WaitForNotification();
  stop.request_stop();
  EXPECT_TRUE(absl::IsCancelled(stream->Finish()));
  EXPECT_TRUE(absl::IsCancelled(answers.Of("a").status()));
  EXPECT_TRUE(absl::IsCancelled(answers.Of("b").status()));
}

TEST(DetectStreamTest, callbacks_are_called_when_stream_is_destroyed) {
  Behaviour behaviour;
  behaviour.detect_stream = [&](grpc::ServerContext& context, DetectServerStream&) {
    WaitForCancel(context);
    return grpc::Status::CANCELLED;
  };
  FakeServer server(behaviour);
  auto client = Client::Connect({.target = server.target()});
  Answers answers;
  {
    auto stream = client->OpenDetectStream();
    stream->Send(Request("a"), answers.For("a"));
  }
  EXPECT_TRUE(absl::IsCancelled(answers.Of("a").status()));
}

TEST(DetectStreamTest, send_is_refused_when_stream_is_finished) {
  Behaviour behaviour;
  behaviour.detect_stream = JudgeStream;
  FakeServer server(behaviour);
  auto client = Client::Connect({.target = server.target()});
  auto stream = client->OpenDetectStream();
  EXPECT_TRUE(stream->Finish().ok());
  Answers answers;
  stream->Send(Request("a"), answers.For("a"));
  EXPECT_TRUE(absl::IsFailedPrecondition(answers.Of("a").status()));
}

}  // namespace
}  // namespace hfwa::client
