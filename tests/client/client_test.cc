#include "client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "client/error.h"
#include "client/uuid.h"
#include "tests/client/fake_server.h"

namespace hfwa::client {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::Le;
using ::testing::SizeIs;

// A client whose waits take no time and are noted.
struct Waits {
  absl::Mutex mu;
  std::vector<absl::Duration> list;
  ClientOptions Options(const FakeServer& server) {
    ClientOptions options;
    options.target = server.target();
    options.sleep = [this](absl::Duration duration, const std::stop_token&) {
      absl::MutexLock lock(&mu);
      list.push_back(duration);
    };
    return options;
  }
};

grpc::Status Unavailable() { return {grpc::StatusCode::UNAVAILABLE, "restarting"}; }

TEST(ClientTest, create_keeps_request_id_over_retries_when_server_is_unavailable) {
  std::vector<std::string> ids;
  Behaviour behaviour;
  const auto create = behaviour.create_product;
  behaviour.create_product = [&](auto& context, const auto& request, auto& product) {
    ids.push_back(request.request_id());
    return ids.size() < 3 ? Unavailable() : create(context, request, product);
  };
  FakeServer server(behaviour);
  Waits waits;
  auto client = Client::Connect(waits.Options(server));
  ASSERT_TRUE(client.ok());
  const auto product = client->CreateProduct("bolt");
  ASSERT_TRUE(product.ok()) << product.status();
  EXPECT_EQ(product->name(), "products/bolt");
  ASSERT_THAT(ids, SizeIs(3));
  EXPECT_EQ(ids[0], ids[1]);
  EXPECT_EQ(ids[0], ids[2]);
  EXPECT_TRUE(std::regex_match(
      ids[0], std::regex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")))
      << ids[0];
  EXPECT_THAT(waits.list,
              ElementsAre(AllOf(Ge(absl::Milliseconds(50)), Le(absl::Milliseconds(100))),
                          AllOf(Ge(absl::Milliseconds(100)), Le(absl::Milliseconds(200)))));
}

TEST(ClientTest, detect_gives_up_after_three_retries_when_server_stays_unavailable) {
  std::atomic<int> calls = 0;
  Behaviour behaviour;
  behaviour.detect = [&](auto&, const auto&, auto&) {
    ++calls;
    return Unavailable();
  };
  FakeServer server(behaviour);
  Waits waits;
  auto client = Client::Connect(waits.Options(server));
  const auto response = client->Detect("bolt", EncodedImage("x"));
  EXPECT_TRUE(absl::IsUnavailable(response.status())) << response.status();
  EXPECT_EQ(calls, 4);
}

TEST(ClientTest, detect_waits_as_told_when_server_is_full) {
  std::atomic<int> calls = 0;
  Behaviour behaviour;
  behaviour.detect = [&](auto&, const auto&, v1::DetectResponse& response) {
    if (++calls == 1) return ToGrpc(RichError(8, "full", "QUEUE_FULL", 2500));
    response.set_score(0.25);
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  Waits waits;
  auto client = Client::Connect(waits.Options(server));
  const auto response = client->Detect("bolt", EncodedImage("x"));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->score(), 0.25);
  EXPECT_THAT(waits.list,
              ElementsAre(AllOf(Ge(absl::Milliseconds(2500)), Le(absl::Milliseconds(2600)))));
}

TEST(ClientTest, detect_does_not_retry_when_error_is_final) {
  for (const google::rpc::Status& error :
       {RichError(8, "too large", "TOO_LARGE"), RichError(3, "bad", "BAD"),
        RichError(13, "bug", "BUG"), RichError(4, "late", "LATE", 10)}) {
    std::atomic<int> calls = 0;
    Behaviour behaviour;
    behaviour.detect = [&](auto&, const auto&, auto&) {
      ++calls;
      return ToGrpc(error);
    };
    FakeServer server(behaviour);
    Waits waits;
    auto client = Client::Connect(waits.Options(server));
    const auto response = client->Detect("bolt", EncodedImage("x"));
    EXPECT_EQ(response.status().raw_code(), error.code());
    EXPECT_EQ(calls, 1) << error.message();
  }
}

TEST(ClientTest, call_returns_servers_error_when_retry_would_miss_deadline) {
  Behaviour behaviour;
  behaviour.detect = [&](auto&, const auto&, auto&) {
    return ToGrpc(RichError(8, "full", "QUEUE_FULL", 60000));
  };
  FakeServer server(behaviour);
  Waits waits;
  auto client = Client::Connect(waits.Options(server));
  const auto response = client->Detect("bolt", EncodedImage("x"), {.deadline = absl::Seconds(20)});
  EXPECT_TRUE(absl::IsResourceExhausted(response.status())) << response.status();
  EXPECT_TRUE(waits.list.empty());
}

TEST(RetrierTest, retries_are_refused_when_budget_is_spent) {
  Retrier retrier({.budget_ratio = 0.1, .budget_reserve = 2});
  const absl::Status error = absl::UnavailableError("down");
  EXPECT_TRUE(retrier.NextDelay(error, 0).has_value());
  EXPECT_TRUE(retrier.NextDelay(error, 0).has_value());
  EXPECT_FALSE(retrier.NextDelay(error, 0).has_value());
  for (int i = 0; i < 11; ++i) retrier.OnRequest();
  EXPECT_TRUE(retrier.NextDelay(error, 0).has_value());
  EXPECT_FALSE(retrier.NextDelay(error, 0).has_value());
}

TEST(ClientTest, every_call_carries_deadline_when_none_is_given) {
  std::chrono::system_clock::time_point deadline;
  Behaviour behaviour;
  behaviour.detect = [&](grpc::ServerContext& context, const auto&, auto&) {
    deadline = context.deadline();
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  auto client = Client::Connect({.target = server.target()});
  const absl::Time before = absl::Now();
  ASSERT_TRUE(client->Detect("bolt", EncodedImage("x")).ok());
  const absl::Duration left = absl::FromChrono(deadline) - before;
  EXPECT_GT(left, absl::Seconds(20));
  EXPECT_LT(left, absl::Seconds(31));
}

TEST(ClientTest, call_ends_with_deadline_exceeded_when_server_hangs) {
  Behaviour behaviour;
  behaviour.detect = [&](grpc::ServerContext& context, const auto&, auto&) {
    WaitForCancel(context);
    return grpc::Status::CANCELLED;
  };
  FakeServer server(behaviour);
  auto client = Client::Connect({.target = server.target()});
  const auto response =
      client->Detect("bolt", EncodedImage("x"), {.deadline = absl::Milliseconds(50)});
  EXPECT_TRUE(absl::IsDeadlineExceeded(response.status())) << response.status();
}

TEST(ClientTest, call_ends_with_cancelled_when_stop_is_requested) {
  absl::Notification arrived;
  std::atomic<bool> cancelled = false;
  Behaviour behaviour;
  behaviour.detect = [&](grpc::ServerContext& context, const auto&, auto&) {
    arrived.Notify();
    cancelled = WaitForCancel(context);
    return grpc::Status::CANCELLED;
  };
  std::stop_source stop;
  {
    FakeServer server(behaviour);
    auto client = Client::Connect({.target = server.target()});
    std::thread stopper([&] {
      arrived.WaitForNotification();
      stop.request_stop();
    });
    const auto response = client->Detect("bolt", EncodedImage("x"), {.cancel = stop.get_token()});
    stopper.join();
    EXPECT_TRUE(absl::IsCancelled(response.status())) << response.status();
  }
  EXPECT_TRUE(cancelled) << "the server was not told";
}

TEST(ClientTest, real_wait_ends_at_once_when_stop_is_requested) {
  absl::Notification arrived;
  Behaviour behaviour;
  behaviour.detect = [&](grpc::ServerContext&, const auto&, auto&) {
    if (!arrived.HasBeenNotified()) arrived.Notify();
    return ToGrpc(RichError(8, "full", "QUEUE_FULL", 3'600'000));
  };
  FakeServer server(behaviour);
  auto client = Client::Connect({.target = server.target()});
  std::stop_source stop;
  std::thread stopper([&] {
    arrived.WaitForNotification();
    stop.request_stop();
  });
  const absl::Time before = absl::Now();
  const auto response = client->Detect("bolt", EncodedImage("x"),
                                       {.deadline = absl::Hours(2), .cancel = stop.get_token()});
  stopper.join();
  EXPECT_TRUE(absl::IsCancelled(response.status())) << response.status();
  EXPECT_LT(absl::Now() - before, kPatience);
}

TEST(ClientTest, list_products_follows_pages_until_last) {
  std::vector<std::string> tokens;
  Behaviour behaviour;
  behaviour.list_products = [&](const v1::ListProductsRequest& request,
                                v1::ListProductsResponse& response) {
    tokens.push_back(request.page_token());
    const size_t page = tokens.size();
    response.add_products()->set_name(absl::StrCat("products/p", page));
    if (page < 3) response.set_next_page_token(absl::StrCat("t", page));
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  auto client = Client::Connect({.target = server.target()});
  const auto products = client->ListProducts();
  ASSERT_TRUE(products.ok());
  ASSERT_EQ(products->size(), 3u);
  EXPECT_EQ(products->at(2).name(), "products/p3");
  EXPECT_THAT(tokens, ElementsAre("", "t1", "t2"));
}

TEST(ClientTest, update_sends_mask_and_full_name) {
  v1::UpdateProductRequest seen;
  Behaviour behaviour;
  behaviour.update_product = [&](const auto& request, auto&) {
    seen = request;
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  auto client = Client::Connect({.target = server.target()});
  v1::Product product;
  product.set_name("bolt");
  ASSERT_TRUE(client->UpdateProduct(product, {"threshold"}).ok());
  EXPECT_EQ(seen.product().name(), "products/bolt");
  EXPECT_THAT(seen.update_mask().paths(), ElementsAre("threshold"));
  EXPECT_FALSE(seen.request_id().empty());
}

TEST(ClientTest, add_references_gives_each_source_its_result_when_one_is_unreadable) {
  std::vector<std::string> names;
  std::string parent;
  int attempt = 0;
  std::set<std::string> request_ids;
  Behaviour behaviour;
  behaviour.add_references = [&](auto& reader, v1::AddReferencesResponse& response) {
    names.clear();
    v1::AddReferencesRequest message;
    while (reader.Read(&message)) {
      if (message.has_config()) {
        parent = message.config().parent();
        request_ids.insert(message.config().request_id());
        continue;
      }
      names.push_back(
          absl::StrCat(message.item().source_name(), "=", message.item().image().content()));
      auto& result = *response.add_results();
      result.set_index(static_cast<int>(names.size()) - 1);
      result.set_outcome(v1::AddReferencesResponse::Result::ADDED);
      result.mutable_reference()->set_name(absl::StrCat("r", message.item().image().content()));
    }
    if (++attempt == 1) return Unavailable();
    response.mutable_product()->set_reference_count(2);
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  Waits waits;
  auto client = Client::Connect(waits.Options(server));
  const std::string file = ::testing::TempDir() + "/client_test_good.png";
  std::ofstream(file) << "A";
  std::vector<size_t> progress;
  const auto response =
      client->AddReferences("bolt",
                            {{.file = file},
                             {.file = "/nonexistent/x.png"},
                             {.file = {}, .image = EncodedImage("B"), .source_name = "camera 2"}},
                            [&](size_t sent, size_t) { progress.push_back(sent); });
  std::filesystem::remove(file);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(parent, "products/bolt");
  EXPECT_THAT(request_ids, SizeIs(1)) << "a retry must repeat the request_id";
  EXPECT_EQ(attempt, 2);
  EXPECT_THAT(names, ElementsAre("client_test_good.png=A", "camera 2=B"));
  ASSERT_EQ(response->results_size(), 3);
  EXPECT_EQ(response->results(0).reference().name(), "rA");
  EXPECT_EQ(response->results(1).outcome(), v1::AddReferencesResponse::Result::REFUSED);
  EXPECT_EQ(response->results(1).error().code(), 5);
  EXPECT_EQ(response->results(2).reference().name(), "rB");
  EXPECT_EQ(response->results(2).index(), 2);
  EXPECT_EQ(response->product().reference_count(), 2);
  EXPECT_THAT(progress, ElementsAre(1, 3, 1, 3));
}

TEST(ErrorTest, message_names_fields_reason_and_delay) {
  google::rpc::Status status = RichError(3, "bad request", "IMAGE_TOO_LARGE", 1500);
  google::rpc::BadRequest bad;
  auto& violation = *bad.add_field_violations();
  violation.set_field("image.content");
  violation.set_description("more than 32 MB");
  status.add_details()->PackFrom(bad);
  for (const absl::Status& error : {ToStatus(ToGrpc(status)), ToStatus(status)}) {
    EXPECT_EQ(error.message(),
              "bad request; image.content: more than 32 MB [IMAGE_TOO_LARGE]; retry after 1.5s");
    const ErrorDetails details = DetailsOf(error);
    EXPECT_EQ(details.reason, "IMAGE_TOO_LARGE");
    ASSERT_THAT(details.violations, SizeIs(1));
    EXPECT_EQ(details.violations[0].field, "image.content");
    EXPECT_EQ(details.retry_delay, absl::Milliseconds(1500));
  }
}

TEST(ErrorTest, details_are_ignored_when_they_are_garbage) {
  const absl::Status error =
      ToStatus(grpc::Status(grpc::StatusCode::NOT_FOUND, "gone", "\xff\xff garbage"));
  EXPECT_EQ(error.message(), "gone");
  EXPECT_TRUE(absl::IsNotFound(error));
  EXPECT_FALSE(DetailsOf(error).retry_delay.has_value());
}

TEST(ImageTest, raw_pixels_are_refused_when_sizes_do_not_fit) {
  using Raw = v1::RawImage;
  EXPECT_TRUE(RawPixels(3, 2, Raw::RGB8, std::string(18, 'x')).ok());
  // The last row needs no gap after it.
  EXPECT_TRUE(RawPixels(3, 2, Raw::RGB8, std::string(21, 'x'), 12).ok());
  EXPECT_FALSE(RawPixels(3, 2, Raw::RGB8, std::string(20, 'x'), 12).ok());
  EXPECT_FALSE(RawPixels(3, 2, Raw::RGB8, std::string(17, 'x')).ok());
  EXPECT_FALSE(RawPixels(3, 2, Raw::RGB8, std::string(18, 'x'), 8).ok());
  EXPECT_FALSE(RawPixels(0, 2, Raw::GRAY8, "").ok());
  EXPECT_FALSE(RawPixels(16385, 1, Raw::GRAY8, std::string(16385, 'x')).ok());
  EXPECT_FALSE(RawPixels(2, 16384, Raw::GRAY8, "xx", int64_t{1} << 62).ok());
  EXPECT_FALSE(RawPixels(1, 1, Raw::PIXEL_FORMAT_UNSPECIFIED, "x").ok());
}

TEST(ImageTest, file_is_refused_when_absent_empty_folder_or_too_long) {
  const std::string file = ::testing::TempDir() + "/client_test_image";
  std::ofstream(file) << "12345";
  EXPECT_EQ(ImageFromFile(file, 5)->content(), "12345");
  EXPECT_TRUE(absl::IsInvalidArgument(ImageFromFile(file, 4).status()));
  std::ofstream(file, std::ios::trunc).flush();
  EXPECT_TRUE(absl::IsInvalidArgument(ImageFromFile(file).status()));
  std::filesystem::remove(file);
  EXPECT_TRUE(absl::IsNotFound(ImageFromFile(file).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ImageFromFile(::testing::TempDir()).status()));
}

}  // namespace
}  // namespace hfwa::client
