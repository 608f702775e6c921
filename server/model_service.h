#pragma once

#include "hfwa/v1/model_service.grpc.pb.h"
#include "server/call.h"

namespace hfwa::server {

// Thread-safe.
class ModelService final
    : public v1::ModelService::WithRawCallbackMethod_GetModel<v1::ModelService::Service> {
 public:
  explicit ModelService(const Shared& shared) : shared_(shared) {}

  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;

 private:
  const Shared& shared_;
};

}  // namespace hfwa::server
