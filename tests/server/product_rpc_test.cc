#include <gmock/gmock.h>

#include <grpcpp/generic/generic_stub.h>

#include "tests/server/grpc_fixture.h"

namespace hfwa::server::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kUuid[] = "123e4567-e89b-42d3-a456-426614174000";

class ProductRpc : public GrpcTest {
 protected:
  ProductRpc() { StartServer(); }

  grpc::Status Create(const v1::CreateProductRequest& request, v1::Product* product) {
    return products_->CreateProduct(Context().get(), request, product);
  }
};

TEST_F(ProductRpc, create_get_update_delete_work) {
  v1::CreateProductRequest create;
  create.set_product_id("nut");
  create.mutable_product()->set_display_name("Mutter");
  (*create.mutable_product()->mutable_labels())["line"] = "7";
  v1::Product product;
  ASSERT_TRUE(Create(create, &product).ok());
  EXPECT_EQ(product.name(), "products/nut");
  EXPECT_EQ(product.class_name(), "object");
  EXPECT_EQ(product.revision(), "products/nut/revisions/0");
  EXPECT_EQ(product.calibration_state(), v1::Product::UNCALIBRATED);
  EXPECT_FALSE(product.has_effective_threshold());

  v1::UpdateProductRequest update;
  update.mutable_product()->set_name("products/nut");
  update.mutable_product()->set_threshold(0.25);
  update.mutable_product()->set_etag(product.etag());
  v1::Product updated;
  ASSERT_TRUE(products_->UpdateProduct(Context().get(), update, &updated).ok());
  EXPECT_EQ(updated.calibration_state(), v1::Product::MANUAL);
  EXPECT_EQ(updated.effective_threshold(), 0.25);
  EXPECT_EQ(updated.display_name(), "Mutter");

  const grpc::Status stale = products_->UpdateProduct(Context().get(), update, &updated);
  EXPECT_EQ(stale.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(ReasonIn(stale), "ETAG_MISMATCH");

  v1::GetProductRequest get;
  get.set_name("products/nut");
  v1::Product got;
  ASSERT_TRUE(products_->GetProduct(Context().get(), get, &got).ok());
  EXPECT_EQ(got.SerializeAsString().size(), updated.SerializeAsString().size());

  v1::DeleteProductRequest remove;
  remove.set_name("products/nut");
  google::protobuf::Empty empty;
  ASSERT_TRUE(products_->DeleteProduct(Context().get(), remove, &empty).ok());
  const grpc::Status gone = products_->GetProduct(Context().get(), get, &got);
  EXPECT_EQ(gone.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ReasonIn(gone), "PRODUCT_NOT_FOUND");
}

TEST_F(ProductRpc, create_names_the_field_at_fault) {
  v1::CreateProductRequest create;
  v1::Product product;
  EXPECT_EQ(FieldIn(Create(create, &product)), "product");
  create.mutable_product()->set_threshold(2);
  EXPECT_EQ(FieldIn(Create(create, &product)), "product.threshold");
  create.mutable_product()->clear_threshold();
  create.set_product_id("../x");
  const grpc::Status status = Create(create, &product);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FieldIn(status), "product_id");
  EXPECT_EQ(ReasonIn(status), "INVALID_FIELD");
}

TEST_F(ProductRpc, create_is_repeated_by_request_id_and_refused_without) {
  v1::CreateProductRequest create;
  create.mutable_product()->set_display_name("a");
  create.set_request_id(kUuid);
  v1::Product first;
  v1::Product second;
  ASSERT_TRUE(Create(create, &first).ok());
  ASSERT_TRUE(Create(create, &second).ok());
  EXPECT_EQ(first.name(), second.name());  // the server made the id

  create.mutable_product()->set_display_name("b");
  const grpc::Status reused = Create(create, &second);
  EXPECT_EQ(ReasonIn(reused), "REQUEST_ID_REUSED");
  EXPECT_EQ(FieldIn(reused), "request_id");

  create.clear_request_id();
  create.set_product_id(first.name().substr(9));
  const grpc::Status taken = Create(create, &second);
  EXPECT_EQ(taken.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(ReasonIn(taken), "PRODUCT_EXISTS");
}

TEST_F(ProductRpc, lists_come_in_pages_bound_to_their_arguments) {
  for (const char* id : {"a", "b", "c", "d", "e"}) CreateProduct(id);
  std::vector<std::string> seen;
  v1::ListProductsRequest request;
  request.set_page_size(2);
  int pages = 0;
  do {
    v1::ListProductsResponse page;
    ASSERT_TRUE(products_->ListProducts(Context().get(), request, &page).ok());
    for (const auto& product : page.products()) seen.push_back(product.name());
    request.set_page_token(page.next_page_token());
    ++pages;
  } while (!request.page_token().empty() && pages < 10);
  EXPECT_EQ(pages, 3);
  EXPECT_THAT(seen, ::testing::ElementsAre("products/a", "products/b", "products/c", "products/d",
                                           "products/e"));

  v1::ListProductsResponse page;
  request.set_page_token("junk");
  EXPECT_EQ(ReasonIn(products_->ListProducts(Context().get(), request, &page)),
            "PAGE_TOKEN_INVALID");
  request.clear_page_token();
  request.set_page_size(-1);
  EXPECT_EQ(FieldIn(products_->ListProducts(Context().get(), request, &page)), "page_size");
}

TEST_F(ProductRpc, malformed_messages_are_the_callers_error) {
  grpc::GenericStub stub(channel_);
  // Field 1 (a message) that claims more bytes than there are, and a name that is not UTF-8.
  for (const std::string& bytes :
       {std::string("\x0a\x7f", 2), std::string("\x0a\x02\xff\xfe", 4)}) {
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::CompletionQueue queue;
    const auto context = Context();
    auto call =
        stub.PrepareUnaryCall(context.get(), "/hfwa.v1.ProductService/GetProduct", request, &queue);
    call->StartCall();
    grpc::ByteBuffer response;
    grpc::Status status;
    call->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    ASSERT_TRUE(queue.Next(&tag, &ok));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(ReasonIn(status), "MALFORMED_MESSAGE");
  }
}

TEST_F(ProductRpc, request_id_is_echoed_or_made) {
  v1::GetProductRequest get;
  get.set_name("products/none");
  v1::Product product;
  auto context = Context();
  context->AddMetadata("x-request-id", "line-7:42");
  context->AddMetadata("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  const grpc::Status status = products_->GetProduct(context.get(), get, &product);
  const auto found = context->GetServerInitialMetadata().find("x-request-id");
  ASSERT_NE(found, context->GetServerInitialMetadata().end());
  EXPECT_EQ(std::string(found->second.data(), found->second.size()), "line-7:42");
  EXPECT_THAT(status.error_details(), HasSubstr("line-7:42"));
  EXPECT_TRUE(LogHolds("\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\""));

  context = Context();
  context->AddMetadata("x-request-id", "not an id; drop table");
  products_->GetProduct(context.get(), get, &product);
  const auto made = context->GetServerInitialMetadata().find("x-request-id");
  ASSERT_NE(made, context->GetServerInitialMetadata().end());
  EXPECT_EQ(made->second.size(), 36U);
}

TEST_F(ProductRpc, model_is_described) {
  v1::GetModelRequest request;
  v1::Model model;
  EXPECT_EQ(FieldIn(models_->GetModel(Context().get(), request, &model)), "name");
  request.set_name("models/other");
  EXPECT_EQ(ReasonIn(models_->GetModel(Context().get(), request, &model)), "MODEL_NOT_FOUND");
  request.set_name("models/current");
  ASSERT_TRUE(models_->GetModel(Context().get(), request, &model).ok());
  EXPECT_EQ(model.digest(), std::string(64, 'd'));
  EXPECT_EQ(model.class_names_size(), 2);
}

TEST_F(ProductRpc, large_metadata_is_refused) {
  v1::GetProductRequest get;
  get.set_name("products/none");
  v1::Product product;
  auto context = Context();
  context->AddMetadata("x-big", std::string(64 * 1024, 'x'));
  const grpc::Status status = products_->GetProduct(context.get(), get, &product);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_THAT(LogText(), Not(HasSubstr("xxxxxxxx")));
}

}  // namespace
}  // namespace hfwa::server::testing
