#include <gmock/gmock.h>

#include <grpcpp/generic/generic_stub.h>

#include <thread>

#include "tests/server/grpc_fixture.h"

namespace hfwa::server::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Result = v1::AddReferencesResponse::Result;

constexpr char kUuid[] = "123e4567-e89b-42d3-a456-426614174000";

class AddReferencesRpc : public GrpcTest {
 protected:
  AddReferencesRpc() {
    StartServer();
    CreateProduct("nut");
  }

  static v1::AddReferencesRequest ConfigOf(const std::string& product,
                                           const std::string& request_id = "") {
    v1::AddReferencesRequest message;
    message.mutable_config()->set_parent("products/" + product);
    message.mutable_config()->set_request_id(request_id);
    return message;
  }
  static v1::AddReferencesRequest ItemOf(const std::string& image, const std::string& source = "") {
    v1::AddReferencesRequest message;
    message.mutable_item()->mutable_image()->set_content(image);
    message.mutable_item()->set_source_name(source);
    return message;
  }
  grpc::Status Send(const std::vector<v1::AddReferencesRequest>& messages,
                    v1::AddReferencesResponse* response) {
    const auto context = Context();
    const auto writer = products_->AddReferences(context.get(), response);
    for (const auto& message : messages) {
      if (!writer->Write(message)) break;
    }
    writer->WritesDone();
    return writer->Finish();
  }
  // Names of the product's references, read in pages of two.
  std::vector<std::string> References(const std::string& product) {
    std::vector<std::string> names;
    v1::ListReferencesRequest request;
    request.set_parent("products/" + product);
    request.set_page_size(2);
    do {
      v1::ListReferencesResponse page;
      const grpc::Status status = products_->ListReferences(Context().get(), request, &page);
      EXPECT_TRUE(status.ok()) << status.error_message();
      for (const auto& reference : page.references()) names.push_back(reference.name());
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return names;
  }
};

TEST_F(AddReferencesRpc, each_image_gets_its_own_result) {
  v1::AddReferencesRequest no_image;
  no_image.mutable_item()->set_source_name("empty");
  v1::AddReferencesResponse response;
  const grpc::Status status =
      Send({ConfigOf("nut"), ItemOf("one", "a.png"), ItemOf("broken"), ItemOf("two"), no_image,
            ItemOf("one"), ItemOf("three", "bad\nname")},
           &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.results_size(), 6);
  const Result::Outcome wanted[] = {Result::ADDED,   Result::REFUSED,   Result::ADDED,
                                    Result::REFUSED, Result::DUPLICATE, Result::REFUSED};
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(response.results(i).index(), i);
    EXPECT_EQ(response.results(i).outcome(), wanted[i]) << i;
  }
  EXPECT_EQ(response.results(0).reference().source_name(), "a.png");
  EXPECT_EQ(FieldIn(response.results(1).error()), "item.image.content");
  EXPECT_EQ(ReasonIn(response.results(1).error()), "IMAGE_INVALID");
  EXPECT_EQ(FieldIn(response.results(3).error()), "item.image");
  EXPECT_EQ(FieldIn(response.results(5).error()), "item.source_name");
  EXPECT_EQ(response.product().reference_count(), 2);
  EXPECT_EQ(response.product().revision(), "products/nut/revisions/1");
  EXPECT_EQ(response.product().effective_threshold(), 0.4);
  EXPECT_EQ(response.product().calibration_state(), v1::Product::PROVISIONAL);
  EXPECT_TRUE(LogHolds("\"added\":2"));
}

TEST_F(AddReferencesRpc, references_are_listed_read_and_deleted) {
  v1::AddReferencesResponse response;
  ASSERT_TRUE(Send({ConfigOf("nut"), ItemOf("1"), ItemOf("2"), ItemOf("3")}, &response).ok());
  const std::vector<std::string> names = References("nut");
  ASSERT_EQ(names.size(), 3U);
  EXPECT_EQ(names[0], response.results(0).reference().name());

  v1::GetReferenceRequest get;
  get.set_name(names[1]);
  v1::Reference reference;
  ASSERT_TRUE(products_->GetReference(Context().get(), get, &reference).ok());
  EXPECT_EQ(reference.content(), "");
  get.set_view(v1::GetReferenceRequest::FULL);
  ASSERT_TRUE(products_->GetReference(Context().get(), get, &reference).ok());
  EXPECT_EQ(reference.content(), "2");
  get.set_view(v1::GetReferenceRequest::THUMBNAIL);
  ASSERT_TRUE(products_->GetReference(Context().get(), get, &reference).ok());
  EXPECT_EQ(reference.content(), "thumb");

  v1::DeleteReferenceRequest remove;
  remove.set_name(names[1]);
  google::protobuf::Empty empty;
  ASSERT_TRUE(products_->DeleteReference(Context().get(), remove, &empty).ok());
  EXPECT_EQ(References("nut").size(), 2U);
  const grpc::Status gone = products_->GetReference(Context().get(), get, &reference);
  EXPECT_EQ(ReasonIn(gone), "REFERENCE_NOT_FOUND");
}

TEST_F(AddReferencesRpc, a_repetition_answers_as_the_first_did) {
  v1::AddReferencesResponse first;
  v1::AddReferencesResponse second;
  const std::vector<v1::AddReferencesRequest> messages = {ConfigOf("nut", kUuid), ItemOf("one"),
                                                          ItemOf("broken")};
  ASSERT_TRUE(Send(messages, &first).ok());
  ASSERT_TRUE(Send(messages, &second).ok());
  EXPECT_EQ(engine_.committed(), 1);
  EXPECT_EQ(second.results(0).outcome(), Result::ADDED);  // not DUPLICATE
  EXPECT_EQ(first.product().effective_threshold(), second.product().effective_threshold());
  EXPECT_EQ(first.results_size(), second.results_size());

  const grpc::Status reused = Send({ConfigOf("nut", kUuid), ItemOf("other")}, &second);
  EXPECT_EQ(reused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonIn(reused), "REQUEST_ID_REUSED");
}

TEST_F(AddReferencesRpc, stream_order_is_kept) {
  v1::AddReferencesResponse response;
  EXPECT_EQ(ReasonIn(Send({}, &response)), "STREAM_ORDER");
  EXPECT_EQ(ReasonIn(Send({ItemOf("one")}, &response)), "STREAM_ORDER");
  EXPECT_EQ(ReasonIn(Send({ConfigOf("nut"), ItemOf("1"), ConfigOf("nut")}, &response)),
            "STREAM_ORDER");
  EXPECT_EQ(ReasonIn(Send({ConfigOf("bolt"), ItemOf("1")}, &response)), "PRODUCT_NOT_FOUND");
  EXPECT_EQ(FieldIn(Send({ConfigOf("../x")}, &response)), "config.parent");
  EXPECT_EQ(FieldIn(Send({ConfigOf("nut", "no uuid")}, &response)), "request_id");
  EXPECT_EQ(engine_.committed(), 0);
  EXPECT_TRUE(Send({ConfigOf("nut")}, &response).ok());
}

TEST_F(AddReferencesRpc, faults_end_the_stream_and_register_nothing) {
  v1::AddReferencesResponse response;
  const grpc::Status thrown =
      Send({ConfigOf("nut"), ItemOf("1"), ItemOf("throw"), ItemOf("2")}, &response);
  EXPECT_EQ(thrown.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(thrown.error_message(), Not(HasSubstr("secret")));
  const grpc::Status disk = Send({ConfigOf("nut"), ItemOf("1"), ItemOf("disk")}, &response);
  EXPECT_EQ(disk.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonIn(disk), "STORE_UNAVAILABLE");
  EXPECT_THAT(disk.error_message(), Not(HasSubstr("/secret")));
  EXPECT_EQ(engine_.committed(), 0);
  EXPECT_TRUE(References("nut").empty());
}

TEST_F(AddReferencesRpc, many_images_pass_one_by_one) {
  std::vector<v1::AddReferencesRequest> messages = {ConfigOf("nut")};
  for (int i = 0; i < 200; ++i)
    messages.push_back(ItemOf(std::to_string(i) + std::string(100'000, 'x')));
  v1::AddReferencesResponse response;
  const grpc::Status status = Send(messages, &response);  // 20 MB, with a message limit of 1 MB
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.product().reference_count(), 200);
}

TEST_F(AddReferencesRpc, a_client_that_goes_away_commits_nothing) {
  std::vector<std::thread> clients;
  clients.reserve(4);
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([this, c] {
      for (int i = 0; i < 50; ++i) {
        const auto context = Context();
        v1::AddReferencesResponse response;
        const auto writer = products_->AddReferences(context.get(), &response);
        writer->Write(ConfigOf("nut"));
        for (int k = 0; k < (i + c) % 4; ++k) writer->Write(ItemOf("half"));
        context->TryCancel();
        EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  server_->Stop(absl::Seconds(5));
  EXPECT_EQ(engine_.committed(), 0) << "a stream that broke off was taken for a whole one";
}

TEST_F(AddReferencesRpc, a_malformed_message_is_not_taken_for_the_end) {
  grpc::GenericStub stub(channel_);
  grpc::CompletionQueue queue;
  const auto context = Context();
  auto call = stub.PrepareCall(context.get(), "/hfwa.v1.ProductService/AddReferences", &queue);
  void* tag = nullptr;
  bool ok = false;
  const auto next = [&] { return queue.Next(&tag, &ok); };
  const auto send = [&](const std::string& bytes) {
    const grpc::Slice slice(bytes);
    call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    next();
  };
  call->StartCall(nullptr);
  next();
  send(ConfigOf("nut").SerializeAsString());
  send(ItemOf("one").SerializeAsString());
  send(std::string("\x12\x04\x12\x02\xff\xfe", 6));  // item.source_name that is not UTF-8
  grpc::Status status;
  call->Finish(&status, nullptr);
  next();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
  EXPECT_EQ(ReasonIn(status), "MALFORMED_MESSAGE");
  EXPECT_EQ(engine_.committed(), 0);
  queue.Shutdown();
}

TEST_F(AddReferencesRpc, registrations_at_once_are_limited) {
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientWriter<v1::AddReferencesRequest>>> writers;
  std::vector<v1::AddReferencesResponse> responses(16);
  for (int i = 0; i < 16; ++i) {
    contexts.push_back(Context());
    writers.push_back(
        products_->AddReferences(contexts.back().get(), &responses[static_cast<size_t>(i)]));
    writers.back()->Write(ConfigOf("nut"));
  }
  grpc::Status status;
  v1::AddReferencesResponse response;
  // Streams start in no fixed order, so this one may overtake one of the 16; then that one is
  // refused.
  status = Send({ConfigOf("nut")}, &response);
  int refused = status.ok() ? 0 : 1;
  for (auto& writer : writers) {
    writer->WritesDone();
    const grpc::Status other = writer->Finish();
    if (other.ok()) continue;
    ++refused;
    status = other;
  }
  ASSERT_LE(refused, 1);
  if (refused == 1) {
    EXPECT_EQ(ReasonIn(status), "TOO_MANY_REGISTRATIONS");
    EXPECT_TRUE(RetryIn(status).has_value());
  }
  EXPECT_TRUE(Send({ConfigOf("nut"), ItemOf("1")}, &response).ok());
}

}  // namespace
}  // namespace hfwa::server::testing
