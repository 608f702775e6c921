#include "server/product_service.h"

#include <google/protobuf/empty.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/add_references.h"
#include "server/convert.h"
#include "server/page_token.h"
#include "server/unary.h"
#include "server/validate.h"

namespace hfwa::server {
namespace {

constexpr char kProductType[] = "hfwa.dev/Product";
constexpr char kReferenceType[] = "hfwa.dev/Reference";

// The same for two requests that ask the same; map fields in a fixed order.
std::string Fingerprint(const char* method, const google::protobuf::MessageLite& request) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    request.SerializeToCodedStream(&coded);
  }
  return Sha256Hex(absl::StrCat(method, "\n", bytes));
}

template <typename Request>
store::Retry RetryOf(const char* method, const Request& request, Violations* violations) {
  store::Retry retry{.request_id = CheckRequestId(request.request_id(), violations),
                     .fingerprint = ""};
  if (!retry.request_id.empty()) {
    Request contents = request;
    contents.clear_request_id();
    retry.fingerprint = Fingerprint(method, contents);
  }
  return retry;
}

absl::Status Create(const Shared& shared, Call& call, const v1::CreateProductRequest& request,
                    v1::Product* out) {
  Violations violations;
  if (!request.has_product()) violations.Add("product", "must be set");
  if (!request.product_id().empty() && !IsId(request.product_id())) {
    violations.Add("product_id", absl::StrCat("must match [a-z][a-z0-9-]{0,62}; got ",
                                              Quote(request.product_id())));
  }
  CheckProductFields(request.product(), &violations);
  const store::Retry retry = RetryOf("CreateProduct", request, &violations);
  HFWA_RETURN_IF_ERROR(violations.status());

  store::Product product;
  product.id =
      request.product_id().empty() ? absl::StrCat("p", RandomHex(8)) : request.product_id();
  product.display_name = request.product().display_name();
  if (!request.product().class_name().empty()) product.class_name = request.product().class_name();
  product.labels.insert(request.product().labels().begin(), request.product().labels().end());
  if (request.product().has_threshold()) product.threshold = request.product().threshold();
  if (request.product().has_coreset_ratio())
    product.coreset_ratio = request.product().coreset_ratio();
  product.method = MethodOf(request.product().method());
  call.Note("product", product.id);
  const std::string name = ProductName(product.id);
  auto created = shared.engine->store().CreateProduct(std::move(product), retry);
  if (!created.ok()) return FromStore(created.status(), kProductType, name);
  FillCalibratedProduct(shared, *created, out);
  return absl::OkStatus();
}

absl::Status Get(const Shared& shared, Call& call, const v1::GetProductRequest& request,
                 v1::Product* out) {
  Violations violations;
  const std::string id = CheckProductName(request.name(), "name", &violations);
  HFWA_RETURN_IF_ERROR(violations.status());
  call.Note("product", id);
  const auto product = shared.engine->store().GetProduct(id);
  if (!product.ok()) return FromStore(product.status(), kProductType, request.name());
  FillCalibratedProduct(shared, *product, out);
  return absl::OkStatus();
}

absl::Status List(const Shared& shared, Call&, const v1::ListProductsRequest& request,
                  v1::ListProductsResponse* out) {
  constexpr std::string_view kList = "ListProducts";
  Violations violations;
  const int size = CheckPageSize(request.page_size(), &violations);
  HFWA_RETURN_IF_ERROR(violations.status());
  HFWA_ASSIGN_OR_RETURN(const std::string after, ReadPageToken(kList, request.page_token()));
  // One more than asked tells whether there is another page.
  auto products = shared.engine->store().ListProducts({.size = size + 1, .after_id = after});
  if (!products.ok()) return FromStore(products.status(), kProductType, "products");
  const bool more = products->size() > static_cast<size_t>(size);
  if (more) products->resize(static_cast<size_t>(size));
  for (const store::Product& product : *products)
    FillCalibratedProduct(shared, product, out->add_products());
  if (more) out->set_next_page_token(MakePageToken(kList, products->back().id));
  return absl::OkStatus();
}

absl::Status Update(const Shared& shared, Call& call, const v1::UpdateProductRequest& request,
                    v1::Product* out) {
  Violations violations;
  if (!request.has_product()) violations.Add("product", "must be set");
  const std::string id = CheckProductName(request.product().name(), "product.name", &violations);
  CheckProductFields(request.product(), &violations);
  CheckEtag(request.product().etag(), "product.etag", &violations);
  const store::ProductPatch patch = CheckUpdateMask(request, &violations);
  const store::Retry retry = RetryOf("UpdateProduct", request, &violations);
  HFWA_RETURN_IF_ERROR(violations.status());
  call.Note("product", id);
  const auto product = shared.engine->UpdateProduct(id, patch, request.product().etag(), retry);
  if (!product.ok()) return FromStore(product.status(), kProductType, request.product().name());
  FillCalibratedProduct(shared, *product, out);
  return absl::OkStatus();
}

absl::Status Delete(const Shared& shared, Call& call, const v1::DeleteProductRequest& request) {
  Violations violations;
  const std::string id = CheckProductName(request.name(), "name", &violations);
  CheckEtag(request.etag(), "etag", &violations);
  const store::Retry retry = RetryOf("DeleteProduct", request, &violations);
  HFWA_RETURN_IF_ERROR(violations.status());
  call.Note("product", id);
  return FromStore(shared.engine->DeleteProduct(id, request.etag(), retry), kProductType,
                   request.name());
}

absl::Status ListRefs(const Shared& shared, Call& call, const v1::ListReferencesRequest& request,
                      v1::ListReferencesResponse* out) {
  Violations violations;
  const std::string id = CheckProductName(request.parent(), "parent", &violations);
  const int size = CheckPageSize(request.page_size(), &violations);
  HFWA_RETURN_IF_ERROR(violations.status());
  call.Note("product", id);
  const std::string list = absl::StrCat("ListReferences ", id);
  HFWA_ASSIGN_OR_RETURN(const std::string after, ReadPageToken(list, request.page_token()));
  auto references =
      shared.engine->store().ListReferences(id, {.size = size + 1, .after_id = after});
  if (references.status().code() == absl::StatusCode::kInvalidArgument) {
    return InvalidFields({{"page_token", "names a reference that is gone"}},
                         reason::kPageTokenInvalid);
  }
  if (!references.ok()) return FromStore(references.status(), kProductType, request.parent());
  const bool more = references->size() > static_cast<size_t>(size);
  if (more) references->resize(static_cast<size_t>(size));
  for (const store::Reference& reference : *references)
    FillReference(id, reference, out->add_references());
  if (more) out->set_next_page_token(MakePageToken(list, references->back().id));
  return absl::OkStatus();
}

absl::Status GetRef(const Shared& shared, Call& call, const v1::GetReferenceRequest& request,
                    v1::Reference* out) {
  Violations violations;
  const ReferenceName name = CheckReferenceName(request.name(), "name", &violations);
  if (request.view() < 0 || request.view() > v1::GetReferenceRequest::FULL) {
    violations.Add("view", "must be BASIC, THUMBNAIL or FULL");
  }
  HFWA_RETURN_IF_ERROR(violations.status());
  call.Note("product", name.product_id);
  const auto reference = shared.engine->store().GetReference(name.product_id, name.reference_id);
  if (!reference.ok()) return FromStore(reference.status(), kReferenceType, request.name());
  FillReference(name.product_id, *reference, out);
  if (request.view() != v1::GetReferenceRequest::THUMBNAIL &&
      request.view() != v1::GetReferenceRequest::FULL) {
    return absl::OkStatus();
  }
  auto content = request.view() == v1::GetReferenceRequest::FULL
                     ? shared.engine->store().ReadObject(reference->sha256)
                     : shared.engine->ReferenceThumbnail(*reference);
  if (!content.ok()) return FromStore(content.status(), kReferenceType, request.name());
  out->set_content(*std::move(content));
  return absl::OkStatus();
}

absl::Status DeleteRef(const Shared& shared, Call& call,
                       const v1::DeleteReferenceRequest& request) {
  Violations violations;
  const ReferenceName name = CheckReferenceName(request.name(), "name", &violations);
  const store::Retry retry = RetryOf("DeleteReference", request, &violations);
  HFWA_RETURN_IF_ERROR(violations.status());
  call.Note("product", name.product_id);
  const auto product = shared.engine->DeleteReference(name.product_id, name.reference_id, retry);
  return FromStore(product.status(), kReferenceType, request.name());
}

}  // namespace

void FillCalibratedProduct(const Shared& shared, const store::Product& product, v1::Product* out) {
  engine::Calibration calibration;
  if (product.threshold.has_value()) {
    calibration = {engine::CalibrationState::kManual, product.threshold};
  } else if (product.reference_count > 0) {
    const auto found = shared.engine->GetCalibration(product);
    if (!found.ok()) {
      shared.log->Warning("calibration not found out",
                          {{"product", product.id}, {"error", found.status().ToString()}});
      return FillProduct(product, nullptr, out);
    }
    calibration = *found;
  }
  FillProduct(product, &calibration, out);
}

grpc::ServerUnaryReactor* ProductService::CreateProduct(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request,
                                                        grpc::ByteBuffer* response) {
  return StartUnary<v1::CreateProductRequest, v1::Product>(
      shared_, "CreateProduct", context, request, response,
      [this](Call& call, const auto& in, auto* out) { return Create(shared_, call, in, out); });
}

grpc::ServerUnaryReactor* ProductService::GetProduct(grpc::CallbackServerContext* context,
                                                     const grpc::ByteBuffer* request,
                                                     grpc::ByteBuffer* response) {
  return StartUnary<v1::GetProductRequest, v1::Product>(
      shared_, "GetProduct", context, request, response,
      [this](Call& call, const auto& in, auto* out) { return Get(shared_, call, in, out); });
}

grpc::ServerUnaryReactor* ProductService::ListProducts(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer* request,
                                                       grpc::ByteBuffer* response) {
  return StartUnary<v1::ListProductsRequest, v1::ListProductsResponse>(
      shared_, "ListProducts", context, request, response,
      [this](Call& call, const auto& in, auto* out) { return List(shared_, call, in, out); });
}

grpc::ServerUnaryReactor* ProductService::UpdateProduct(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request,
                                                        grpc::ByteBuffer* response) {
  return StartUnary<v1::UpdateProductRequest, v1::Product>(
      shared_, "UpdateProduct", context, request, response,
      [this](Call& call, const auto& in, auto* out) { return Update(shared_, call, in, out); });
}

grpc::ServerUnaryReactor* ProductService::DeleteProduct(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request,
                                                        grpc::ByteBuffer* response) {
  return StartUnary<v1::DeleteProductRequest, google::protobuf::Empty>(
      shared_, "DeleteProduct", context, request, response,
      [this](Call& call, const auto& in, auto*) { return Delete(shared_, call, in); });
}

grpc::ServerReadReactor<grpc::ByteBuffer>* ProductService::AddReferences(
    grpc::CallbackServerContext* context, grpc::ByteBuffer* response) {
  return StartAddReferences(shared_, context, response);
}

grpc::ServerUnaryReactor* ProductService::ListReferences(grpc::CallbackServerContext* context,
                                                         const grpc::ByteBuffer* request,
                                                         grpc::ByteBuffer* response) {
  return StartUnary<v1::ListReferencesRequest, v1::ListReferencesResponse>(
      shared_, "ListReferences", context, request, response,
      [this](Call& call, const auto& in, auto* out) { return ListRefs(shared_, call, in, out); });
}

grpc::ServerUnaryReactor* ProductService::GetReference(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer* request,
                                                       grpc::ByteBuffer* response) {
  return StartUnary<v1::GetReferenceRequest, v1::Reference>(
      shared_, "GetReference", context, request, response,
      [this](Call& call, const auto& in, auto* out) { return GetRef(shared_, call, in, out); });
}

grpc::ServerUnaryReactor* ProductService::DeleteReference(grpc::CallbackServerContext* context,
                                                          const grpc::ByteBuffer* request,
                                                          grpc::ByteBuffer* response) {
  return StartUnary<v1::DeleteReferenceRequest, google::protobuf::Empty>(
      shared_, "DeleteReference", context, request, response,
      [this](Call& call, const auto& in, auto*) { return DeleteRef(shared_, call, in); });
}

}  // namespace hfwa::server
