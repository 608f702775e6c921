#pragma once

// The reactor of every unary call that may block: parsed and answered on a pool, never on gRPC's
// threads.
//
// Services take raw bytes and parse them here: a message that gRPC itself fails to parse ends as
// UNIMPLEMENTED with no text, and on a stream looks like the client's orderly end.

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "server/call.h"
#include "server/errors.h"

namespace hfwa::server {

// Empties `bytes`, so that an image is not held twice.
template <typename Message>
absl::Status ParseMessage(grpc::ByteBuffer* bytes, Message* message) {
  const grpc::Status status = grpc::SerializationTraits<Message>::Deserialize(bytes, message);
  if (!status.ok())
    return ReasonError(reason::kMalformedMessage, "the request is not a well-formed message");
  return absl::OkStatus();
}

template <typename Message>
absl::Status SerializeMessage(const Message& message, grpc::ByteBuffer* bytes) {
  bool own = false;
  const grpc::Status status = grpc::SerializationTraits<Message>::Serialize(message, bytes, &own);
  return status.ok() ? absl::OkStatus() : absl::InternalError("reply does not serialise");
}

// Answers a call at once with an error.
class RefusedUnary final : public grpc::ServerUnaryReactor {
 public:
  explicit RefusedUnary(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

template <typename Request, typename Response>
class UnaryReactor final : public grpc::ServerUnaryReactor {
 public:
  using Handler =
      std::function<absl::Status(Call& call, const Request& request, Response* response)>;

  UnaryReactor(const Shared& shared, const char* method, grpc::CallbackServerContext* context,
               const grpc::ByteBuffer* request, grpc::ByteBuffer* response, Handler handler)
      : shared_(shared),
        call_(shared, method, CallIdentity::From(*context)),
        // gRPC made the buffer for this call alone and does not look at it again.
        request_bytes_(const_cast<grpc::ByteBuffer*>(request)),
        response_bytes_(response),
        handler_(std::move(handler)) {
    context->AddInitialMetadata("x-request-id", call_.request_id());
  }

  void Start() {
    absl::Status status = Admit(shared_, call_);
    if (status.ok()) {
      status = shared_.store_pool->Submit([this] { Run(); });
      if (status.ok()) return;
      status = ReasonError(reason::kQueueFull, "too many calls wait");
      shared_.metrics->OnRefusal(reason::kQueueFull, call_.lane());
    }
    End(status);
  }

  void OnCancel() override { cancelled_ = true; }
  void OnDone() override { delete this; }

 private:
  void Run() {
    End(Guard([this]() -> absl::Status {
      if (cancelled_) return absl::CancelledError("the caller gave the call up");
      Request request;
      Response response;
      absl::Status status = ParseMessage(request_bytes_, &request);
      if (status.ok()) status = handler_(call_, request, &response);
      if (status.ok()) status = SerializeMessage(response, response_bytes_);
      return status;
    }));
  }

  void End(const absl::Status& status) {
    call_.End(status);
    Finish(ToGrpcStatus(status, call_.request_id()));
  }

  const Shared& shared_;
  Call call_;
  grpc::ByteBuffer* const request_bytes_;
  grpc::ByteBuffer* const response_bytes_;
  const Handler handler_;
  std::atomic<bool> cancelled_{false};
};

// Starts `handler` on the store's pool. Never throws.
template <typename Request, typename Response, typename Handler>
grpc::ServerUnaryReactor* StartUnary(const Shared& shared, const char* method,
                                     grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request, grpc::ByteBuffer* response,
                                     Handler&& handler) {
  UnaryReactor<Request, Response>* reactor = nullptr;
  const absl::Status status = Guard([&] {
    reactor = new UnaryReactor<Request, Response>(shared, method, context, request, response,
                                                  std::forward<Handler>(handler));
    return absl::OkStatus();
  });
  if (!status.ok()) return new RefusedUnary(ToGrpcStatus(status, ""));
  reactor->Start();
  return reactor;
}

}  // namespace hfwa::server
