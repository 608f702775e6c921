#pragma once

#include "hfwa/v1/detection_service.grpc.pb.h"
#include "server/call.h"

namespace hfwa::server {

// Thread-safe.
class DetectionService final
    : public v1::DetectionService::WithRawCallbackMethod_Detect<
          v1::DetectionService::WithRawCallbackMethod_DetectStream<v1::DetectionService::Service>> {
 public:
  explicit DetectionService(const Shared& shared) : shared_(shared) {}

  grpc::ServerUnaryReactor* Detect(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* response) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* DetectStream(
      grpc::CallbackServerContext* context) override;

 private:
  const Shared& shared_;
};

}  // namespace hfwa::server
