#include "server/detection_service.h"

#include <atomic>
#include <memory>

#include "server/detect.h"
#include "server/detect_stream.h"
#include "server/errors.h"
#include "server/unary.h"

namespace hfwa::server {
namespace {

// No pool here: the engine takes the image at once and calls back.
class DetectReactor final : public grpc::ServerUnaryReactor {
 public:
  DetectReactor(const Shared& shared, grpc::CallbackServerContext* context,
                grpc::ByteBuffer* response)
      : shared_(shared),
        call_(shared, "Detect", CallIdentity::From(*context)),
        deadline_(SteadyDeadline(*context, *shared.clock)),
        response_bytes_(response) {
    context->AddInitialMetadata("x-request-id", call_.request_id());
  }

  void Start(grpc::ByteBuffer* request) {
    const absl::Status status = Guard([&] { return ParseMessage(request, &request_); });
    if (!status.ok()) {
      call_.End(status);
      return End(status);
    }
    StartDetect(shared_, call_, request_, deadline_, cancelled_, "", &response_,
                [this](const absl::Status& outcome) {
                  End(outcome.ok()
                          ? Guard([this] { return SerializeMessage(response_, response_bytes_); })
                          : outcome);
                });
  }

  void OnCancel() override { *cancelled_ = true; }
  void OnDone() override { delete this; }

 private:
  void End(const absl::Status& status) { Finish(ToGrpcStatus(status, call_.request_id())); }

  const Shared& shared_;
  Call call_;
  const absl::Duration deadline_;
  grpc::ByteBuffer* const response_bytes_;
  v1::DetectRequest request_;
  v1::DetectResponse response_;
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace

grpc::ServerUnaryReactor* DetectionService::Detect(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* request,
                                                   grpc::ByteBuffer* response) {
  DetectReactor* reactor = nullptr;
  const absl::Status status = Guard([&] {
    reactor = new DetectReactor(shared_, context, response);
    return absl::OkStatus();
  });
  if (!status.ok()) return new RefusedUnary(ToGrpcStatus(status, ""));
  // gRPC made the buffer for this call alone and does not look at it again.
  reactor->Start(const_cast<grpc::ByteBuffer*>(request));
  return reactor;
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* DetectionService::DetectStream(
    grpc::CallbackServerContext* context) {
  return StartDetectStream(shared_, context);
}

}  // namespace hfwa::server
