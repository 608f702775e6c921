#include "client/client.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/channel.h"
#include "client/detect_stream_impl.h"
#include "client/error.h"
#include "client/uuid.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "hfwa/v1/detection_service.grpc.pb.h"
#include "hfwa/v1/model_service.grpc.pb.h"
#include "hfwa/v1/product_service.grpc.pb.h"

namespace hfwa::client {
namespace {

constexpr int kPageSize = 1000;

void ReallySleep(absl::Duration duration, const std::stop_token& cancel) {
  std::mutex mu;
  std::condition_variable_any stopped;
  std::unique_lock<std::mutex> lock(mu);
  stopped.wait_for(lock, cancel, absl::ToChronoNanoseconds(duration), [] { return false; });
}

std::string BaseName(const std::filesystem::path& file) {
  constexpr size_t kMaxSourceName = 255;
  std::string name = file.filename().string();
  return name.size() <= kMaxSourceName && IsValidUtf8(name) && !HasControlCharacter(name)
             ? name
             : std::string();
}

}  // namespace

std::string ProductName(std::string_view id_or_name) {
  constexpr std::string_view kPrefix = "products/";
  if (id_or_name.substr(0, kPrefix.size()) == kPrefix) return std::string(id_or_name);
  return std::string(kPrefix) + std::string(id_or_name);
}

struct Client::Impl {
  Impl(std::shared_ptr<grpc::Channel> to, ClientOptions with)
      : options(std::move(with)),
        channel(std::move(to)),
        products(v1::ProductService::NewStub(channel)),
        detection(v1::DetectionService::NewStub(channel)),
        models(v1::ModelService::NewStub(channel)),
        health(grpc::health::v1::Health::NewStub(channel)),
        retrier(std::make_shared<Retrier>(options.retry)) {
    if (!options.sleep) options.sleep = ReallySleep;
  }

  // Runs `attempt` until it succeeds, its error is final or the deadline would pass.
  absl::Status Call(const CallOptions& call,
                    const std::function<grpc::Status(grpc::ClientContext&)>& attempt) {
    const absl::Time deadline = absl::Now() + call.deadline.value_or(options.default_deadline);
    retrier->OnRequest();
    for (int retries = 0;; ++retries) {
      absl::Status status = TryOnce(call, deadline, attempt);
      if (status.ok()) return status;
      const auto delay = retrier->NextDelay(status, retries);
      // Waiting past the deadline would only hide the server's answer behind DEADLINE_EXCEEDED.
      if (!delay.has_value() || absl::Now() + *delay >= deadline) return status;
      options.sleep(*delay, call.cancel);
    }
  }

  absl::Status TryOnce(const CallOptions& call, absl::Time deadline,
                       const std::function<grpc::Status(grpc::ClientContext&)>& attempt) {
    if (call.cancel.stop_requested()) return absl::CancelledError("cancelled by the caller");
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(deadline));
    std::stop_callback cancel(call.cancel, [&context] { context.TryCancel(); });
    return ToStatus(attempt(context));
  }

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Unary(Stub& stub,
                                 grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Response*),
                                 const Request& request, const CallOptions& call) {
    Response response;
    HFWA_RETURN_IF_ERROR(Call(call, [&](grpc::ClientContext& context) {
      response.Clear();
      return (stub.*method)(&context, request, &response);
    }));
    return response;
  }

  grpc::Status AddReferencesOnce(grpc::ClientContext& context,
                                 const v1::AddReferencesRequest& config,
                                 const std::vector<ReferenceSource>& sources,
                                 const Progress& progress, v1::AddReferencesResponse& merged);

  ClientOptions options;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::ProductService::Stub> products;
  std::unique_ptr<v1::DetectionService::Stub> detection;
  std::unique_ptr<v1::ModelService::Stub> models;
  std::unique_ptr<grpc::health::v1::Health::Stub> health;
  std::shared_ptr<Retrier> retrier;
};

absl::StatusOr<Client> Client::Connect(ClientOptions options) {
  HFWA_ASSIGN_OR_RETURN(auto channel, MakeChannel(options));
  return Client(std::move(channel), std::move(options));
}

Client::Client(std::shared_ptr<grpc::Channel> channel, ClientOptions options)
    : impl_(std::make_unique<Impl>(std::move(channel), std::move(options))) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

absl::StatusOr<v1::Product> Client::CreateProduct(const std::string& product_id,
                                                  const v1::Product& product,
                                                  const CallOptions& options) {
  v1::CreateProductRequest request;
  request.set_product_id(product_id);
  *request.mutable_product() = product;
  request.set_request_id(NewUuid());
  return impl_->Unary(*impl_->products, &v1::ProductService::Stub::CreateProduct, request, options);
}

absl::StatusOr<v1::Product> Client::GetProduct(const std::string& product,
                                               const CallOptions& options) {
  v1::GetProductRequest request;
  request.set_name(ProductName(product));
  return impl_->Unary(*impl_->products, &v1::ProductService::Stub::GetProduct, request, options);
}

absl::Status Client::ListProducts(const std::function<bool(const v1::Product&)>& visit,
                                  const CallOptions& options) {
  v1::ListProductsRequest request;
  request.set_page_size(kPageSize);
  while (true) {
    HFWA_ASSIGN_OR_RETURN(
        const v1::ListProductsResponse page,
        impl_->Unary(*impl_->products, &v1::ProductService::Stub::ListProducts, request, options));
    for (const auto& product : page.products()) {
      if (!visit(product)) return absl::OkStatus();
    }
    if (page.next_page_token().empty()) return absl::OkStatus();
    if (page.next_page_token() == request.page_token()) {
      return absl::InternalError("the server's list of products goes in circles");
    }
    request.set_page_token(page.next_page_token());
  }
}

absl::StatusOr<std::vector<v1::Product>> Client::ListProducts(const CallOptions& options) {
  std::vector<v1::Product> products;
  HFWA_RETURN_IF_ERROR(ListProducts(
      [&products](const v1::Product& product) {
        products.push_back(product);
        return true;
      },
      options));
  return products;
}

absl::StatusOr<v1::Product> Client::UpdateProduct(const v1::Product& product,
                                                  const std::vector<std::string>& fields,
                                                  const CallOptions& options) {
  v1::UpdateProductRequest request;
  *request.mutable_product() = product;
  request.mutable_product()->set_name(ProductName(product.name()));
  for (const std::string& field : fields) request.mutable_update_mask()->add_paths(field);
  request.set_request_id(NewUuid());
  return impl_->Unary(*impl_->products, &v1::ProductService::Stub::UpdateProduct, request, options);
}

absl::Status Client::DeleteProduct(const std::string& product, const std::string& etag,
                                   const CallOptions& options) {
  v1::DeleteProductRequest request;
  request.set_name(ProductName(product));
  request.set_etag(etag);
  request.set_request_id(NewUuid());
  return impl_->Unary(*impl_->products, &v1::ProductService::Stub::DeleteProduct, request, options)
      .status();
}

grpc::Status Client::Impl::AddReferencesOnce(grpc::ClientContext& context,
                                             const v1::AddReferencesRequest& config,
                                             const std::vector<ReferenceSource>& sources,
                                             const Progress& progress,
                                             v1::AddReferencesResponse& merged) {
  merged.Clear();
  v1::AddReferencesResponse response;
  auto writer = products->AddReferences(&context, &response);
  bool open = writer->Write(config);
  std::vector<int> sent;
  for (size_t i = 0; i < sources.size(); ++i) {
    v1::AddReferencesResponse::Result& result = *merged.add_results();
    result.set_index(static_cast<int>(i));
    // After a failed write the stream's status says why; Finish below fetches it.
    if (!open) continue;
    const ReferenceSource& source = sources[i];
    v1::AddReferencesRequest message;
    v1::AddReferencesRequest::Item& item = *message.mutable_item();
    if (source.file.empty()) {
      *item.mutable_image() = source.image;
    } else if (auto image = ImageFromFile(source.file); image.ok()) {
      *item.mutable_image() = *std::move(image);
    } else {
      result.set_outcome(v1::AddReferencesResponse::Result::REFUSED);
      result.mutable_error()->set_code(image.status().raw_code());
      result.mutable_error()->set_message(std::string(image.status().message()));
      continue;
    }
    item.set_source_name(source.source_name.empty() ? BaseName(source.file) : source.source_name);
    open = writer->Write(message);
    if (open) sent.push_back(static_cast<int>(i));
    if (open && progress) progress(i + 1, sources.size());
  }
  if (open && sent.empty()) {
    // Nothing readable: there is nothing to ask of the server.
    context.TryCancel();
    writer->Finish();
    return grpc::Status::OK;
  }
  if (open) writer->WritesDone();
  grpc::Status status = writer->Finish();
  if (!status.ok()) return status;
  for (auto& result : *response.mutable_results()) {
    if (result.index() < 0 || static_cast<size_t>(result.index()) >= sent.size()) {
      return {grpc::StatusCode::INTERNAL, "the server answered for an image that was not sent"};
    }
    // The server numbers what it received; the caller what it gave.
    const int index = sent[static_cast<size_t>(result.index())];
    merged.mutable_results(index)->Swap(&result);
    merged.mutable_results(index)->set_index(index);
  }
  *merged.mutable_product() = std::move(*response.mutable_product());
  return status;
}

absl::StatusOr<v1::AddReferencesResponse> Client::AddReferences(
    const std::string& product, const std::vector<ReferenceSource>& sources,
    const Progress& progress, const CallOptions& options) {
  v1::AddReferencesRequest config;
  config.mutable_config()->set_parent(ProductName(product));
  config.mutable_config()->set_request_id(NewUuid());
  CallOptions call = options;
  if (!call.deadline.has_value()) {
    call.deadline = impl_->options.default_deadline + absl::Seconds(10) * sources.size();
  }
  v1::AddReferencesResponse merged;
  HFWA_RETURN_IF_ERROR(impl_->Call(call, [&](grpc::ClientContext& context) {
    return impl_->AddReferencesOnce(context, config, sources, progress, merged);
  }));
  return merged;
}

absl::StatusOr<std::vector<v1::Reference>> Client::ListReferences(const std::string& product,
                                                                  const CallOptions& options) {
  v1::ListReferencesRequest request;
  request.set_parent(ProductName(product));
  request.set_page_size(kPageSize);
  std::vector<v1::Reference> references;
  while (true) {
    HFWA_ASSIGN_OR_RETURN(v1::ListReferencesResponse page,
                          impl_->Unary(*impl_->products, &v1::ProductService::Stub::ListReferences,
                                       request, options));
    for (auto& reference : *page.mutable_references()) references.push_back(std::move(reference));
    if (page.next_page_token().empty()) return references;
    if (page.next_page_token() == request.page_token()) {
      return absl::InternalError("the server's list of references goes in circles");
    }
    request.set_page_token(page.next_page_token());
  }
}

absl::StatusOr<v1::Reference> Client::GetReference(const std::string& name,
                                                   v1::GetReferenceRequest::View view,
                                                   const CallOptions& options) {
  v1::GetReferenceRequest request;
  request.set_name(name);
  request.set_view(view);
  return impl_->Unary(*impl_->products, &v1::ProductService::Stub::GetReference, request, options);
}

absl::Status Client::DeleteReference(const std::string& name, const CallOptions& options) {
  v1::DeleteReferenceRequest request;
  request.set_name(name);
  request.set_request_id(NewUuid());
  return impl_
      ->Unary(*impl_->products, &v1::ProductService::Stub::DeleteReference, request, options)
      .status();
}

absl::StatusOr<v1::DetectResponse> Client::Detect(const std::string& product, v1::Image image,
                                                  const CallOptions& options) {
  v1::DetectRequest request;
  request.set_product(ProductName(product));
  *request.mutable_image() = std::move(image);
  return Detect(request, options);
}

absl::StatusOr<v1::DetectResponse> Client::Detect(const v1::DetectRequest& request,
                                                  const CallOptions& options) {
  return impl_->Unary(*impl_->detection, &v1::DetectionService::Stub::Detect, request, options);
}

std::unique_ptr<DetectStream> Client::OpenDetectStream(DetectStreamOptions options) {
  return NewDetectStream(impl_->channel, impl_->retrier, impl_->options.default_deadline,
                         std::move(options));
}

absl::StatusOr<v1::Model> Client::GetModel(const CallOptions& options) {
  v1::GetModelRequest request;
  request.set_name("models/current");
  return impl_->Unary(*impl_->models, &v1::ModelService::Stub::GetModel, request, options);
}

absl::StatusOr<bool> Client::IsServing(const std::string& service, const CallOptions& options) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  HFWA_ASSIGN_OR_RETURN(
      const grpc::health::v1::HealthCheckResponse response,
      impl_->Unary(*impl_->health, &grpc::health::v1::Health::Stub::Check, request, options));
  return response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
}

}  // namespace hfwa::client
